package intake

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// empty is an Intake without tracks.
func empty(t testing.TB) *Intake {
	t.Helper()
	in := New(Config{})
	t.Cleanup(func() {
		in.Close()
		in.Wait()
	})
	return in
}
