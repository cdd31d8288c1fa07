package nodes

import (
	"errors"
	"testing"
)

// One request that fails among others that do not is no outage, and one that is answered in an outage is not its end.
func TestUpInsists(t *testing.T) {
	a, no := &Agent{}, errors.New("no")
	for i, c := range []struct {
		err error
		up  bool
	}{
		{no, false}, {nil, true}, {no, true}, {nil, true}, {no, true}, {no, false}, {no, false}, {nil, false}, {no, false}, {nil, false}, {nil, true},
	} {
		if a.saw(c.err); a.Up() != c.up {
			t.Errorf("answer %d, %v: up is %v", i+1, c.err, a.Up())
		}
	}
}
