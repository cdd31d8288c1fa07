// Package roomtest parses names for tests, which fail when one is not allowed.
package roomtest

import (
	"testing"

	"weever/shared/room"
)

// Name is room.ParseName.
func Name(t testing.TB, s string) room.Name {
	t.Helper()
	n, err := room.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ID is room.ParseID.
func ID(t testing.TB, s string) room.ID {
	t.Helper()
	id, err := room.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// FullID is room.ParseFullID.
func FullID(t testing.TB, s string) room.FullID {
	t.Helper()
	id, err := room.ParseFullID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
