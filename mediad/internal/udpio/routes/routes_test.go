package routes

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"weever/mediad/internal/udpio/peek"
)

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(1000+i)) //nolint:gosec // small
}

func check(i int) (id peek.ID) {
	binary.BigEndian.PutUint32(id[:], uint32(i)) //nolint:gosec // small
	return id
}

func join(t *Table[string], names ...string) {
	for _, n := range names {
		t.Join(n)
	}
}

func owns(t *testing.T, table *Table[string], addr netip.AddrPort, want string) {
	t.Helper()
	if got, _ := table.Owner(addr); got != want {
		t.Errorf("%v is %q's, want %q's", addr, got, want)
	}
}

// The first who sends to an address has it; others get it only by an answer to a check of theirs.
func TestOwner(t *testing.T) {
	table := New[string]()
	join(table, "alice", "mallory")
	owns(t, table, address(1), "")
	table.Claim("alice", address(1), peek.ID{})
	table.Claim("mallory", address(1), peek.ID{}) // a response, or media
	if _, contested := table.Owner(address(1)); contested {
		t.Error("contested by something that is no check")
	}
	table.Claim("mallory", address(1), check(1))
	table.Claim("mallory", address(1), check(2))
	owns(t, table, address(1), "alice")
	for _, c := range []struct {
		id   peek.ID
		want string
	}{{check(3), "alice"}, {peek.ID{}, "alice"}, {check(1), "alice"}, {check(2), "mallory"}} { // check(1) is not her latest
		if got := table.Answered(address(1), c.id); got != c.want {
			t.Errorf("after the answer to % x it is %q's, want %q's", c.id[:4], got, c.want)
		}
	}
	owns(t, table, address(1), "mallory")
	if got := table.Answered(address(1), check(2)); got != "mallory" {
		t.Errorf("a second answer gave it to %q", got)
	}
	table.Claim("alice", address(1), check(4)) // if she is there still, she has it back
	if got := table.Answered(address(1), check(4)); got != "alice" {
		t.Errorf("it is %q's", got)
	}
	if got := table.Answered(address(2), check(4)); got != "" {
		t.Errorf("nobody's address became %q's", got)
	}
}

// Who leaves has nothing left, can have nothing more, and others can have it.
func TestLeave(t *testing.T) {
	table := New[string]()
	table.Claim("nobody", address(1), check(1))
	owns(t, table, address(1), "")
	join(table, "alice", "bob")
	for i := range 10 {
		table.Claim("alice", address(i), peek.ID{})
	}
	table.Claim("bob", address(0), check(1))
	table.Leave("bob")
	if got := table.Answered(address(0), check(1)); got != "alice" {
		t.Errorf("one who has left got an address of %q's", got)
	}
	join(table, "bob")
	table.Claim("bob", address(0), check(1))
	table.Leave("alice")
	table.Leave("alice")
	table.Claim("alice", address(0), peek.ID{})
	for i := range 10 {
		owns(t, table, address(i), "")
	}
	table.Claim("bob", address(0), peek.ID{})
	owns(t, table, address(0), "bob")
	table.Leave("bob")
	if len(table.routes) != 0 || len(table.owned) != 0 {
		t.Errorf("%d addresses and %d owners are left", len(table.routes), len(table.owned))
	}
}

// Nobody fills the table, or a place in it.
func TestBounds(t *testing.T) {
	table := New[string]()
	join(table, "alice", "greedy")
	table.Claim("alice", address(-1), peek.ID{})
	for i := range 10 * maxOwned {
		table.Claim("greedy", address(i), peek.ID{})
	}
	if len(table.routes) != 1+maxOwned || len(table.owned["greedy"]) != maxOwned {
		t.Errorf("%d addresses", len(table.routes))
	}
	owns(t, table, address(0), "")
	owns(t, table, address(10*maxOwned-1), "greedy")
	owns(t, table, address(-1), "alice")
	for i := range 3 * maxRivals {
		name := string(rune('A' + i))
		join(table, name)
		table.Claim(name, address(-1), check(i))
	}
	if n := len(table.routes[address(-1)].rivals); n != maxRivals {
		t.Errorf("%d rivals", n)
	}
	if got := table.Answered(address(-1), check(0)); got != "alice" {
		t.Errorf("a check that was pushed out counts: %q", got)
	}
	if got := table.Answered(address(-1), check(3*maxRivals-1)); got != string(rune('A'+3*maxRivals-1)) {
		t.Errorf("the latest check does not count: %q", got)
	}
}

func BenchmarkOwner(b *testing.B) {
	table := New[string]()
	join(table, "alice")
	for i := range maxOwned {
		table.Claim("alice", address(i), peek.ID{})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Owner(address(i % 512))
	}
}
