package eventually

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestLooksUntilItIsSo, and not longer than it may.
func TestLooksUntilItIsSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		True(t, time.Second, "a tenth of a second", func() bool { return time.Since(began) >= 100*time.Millisecond })
		Nil(t, time.Second, "a fifth", func() error {
			if time.Since(began) < 200*time.Millisecond {
				return errors.New("too early")
			}
			return nil
		})
		if passed := time.Since(began); passed > 200*time.Millisecond+tick {
			t.Errorf("it took %v", passed)
		}
		amiss := errors.New("never")
		if err := Try(time.Second, func() error { return amiss }); !errors.Is(err, amiss) {
			t.Errorf("gave %v in place of what was amiss", err)
		}
		if passed := time.Since(began); passed > 1200*time.Millisecond+tick {
			t.Errorf("it looked until %v", passed)
		}
	})
}
