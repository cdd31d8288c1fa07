package session

import "testing"

// A session id names its owner, and hostile ids name nobody.
func TestSessionIDs(t *testing.T) {
	t.Parallel()
	instance := NewInstance()
	a, b := newID(instance), newID(instance)
	if owner, ok := OwnerOf(a); !ok || owner != instance || a == b {
		t.Errorf("%s, %s: %s %v", a, b, owner, ok)
	}
	for _, bad := range []string{"", "*", a[1:], a + "0", a[:47] + ">", a[:47] + "."} {
		if _, ok := OwnerOf(bad); ok {
			t.Errorf("%q has an owner", bad)
		}
	}
}
