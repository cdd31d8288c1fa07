package session

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/session/life"
	"weever/shared/apierr"
	"weever/shared/room"
	"weever/shared/tokens"
)

// guest is a session to be registered.
func guest(t *testing.T, full, session string, inc int64, client string) running {
	t.Helper()
	id := life.Identity{Role: room.Sub, Session: session, Inc: inc, Client: netip.MustParseAddr(client)}
	var err error
	if id.Room, err = room.ParseName("party"); err != nil {
		t.Fatal(err)
	}
	if id.Full, err = room.ParseFullID(full); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	return running{Life: life.New(context.Background(), id, pc, life.NewClock(time.Now(), life.Times{}))}
}

// stay registers r until its end.
func stay(g *registry, r running) error { return g.start(r, func() { <-r.Ctx.Done() }) }

// admit asks whether a POST would be let in.
func admit(g *registry) error {
	leave, err := g.enter(netip.Addr{})
	if err == nil {
		leave()
	}
	return err
}

func code(err error) apierr.Code {
	if err == nil {
		return ""
	}
	return apierr.From(err).Code
}

func TestHowManyMayStay(t *testing.T) {
	t.Parallel()
	g := newRegistry(3, 2)
	guests := []struct {
		guest running
		want  apierr.Code
	}{
		{guest(t, "alice", "1", 1, "192.0.2.1"), ""},
		{guest(t, "alice", "2", 2, "192.0.2.1"), ""},
		{guest(t, "alice", "3", 3, "192.0.2.1"), apierr.TooMany},
		{guest(t, "bob", "4", 4, "192.0.2.2"), ""},
		{guest(t, "carol", "5", 5, "192.0.2.3"), apierr.Unavailable},
	}
	for _, c := range guests {
		if got := code(stay(g, c.guest)); got != c.want {
			t.Errorf("session %s: %q, want %q", c.guest.ID.Session, got, c.want)
		}
	}
	if n, err := g.counts(), admit(g); n[room.Sub] != 3 || n[room.Pub] != 0 || !errors.Is(err, errFull) {
		t.Errorf("%v, %v", n, err)
	}
	g.close()
	if err := admit(g); !errors.Is(err, errShutdown) || code(err) != apierr.Unavailable {
		t.Errorf("closed: %v", err)
	}
	for _, r := range guests {
		r.guest.End(errShutdown)
	}
	g.wait()
	if n := g.counts(); len(n) != 0 || len(g.clients) != 0 {
		t.Errorf("%v are left", n)
	}
}

// A node that ends waits for the POSTs that are under way: they may have left a record, and take it back.
func TestTheEndWaitsForPosts(t *testing.T) {
	t.Parallel()
	g := newRegistry(0, 0)
	leave, err := g.enter(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	g.close()
	taken := false
	go func() {
		defer leave()
		if err := stay(g, guest(t, "alice", "1", 1, "192.0.2.1")); code(err) != apierr.Unavailable {
			t.Errorf("a POST under way: %v", err)
		}
		taken = true // its record is taken back
	}()
	g.wait()
	if !taken {
		t.Error("it waited for nobody")
	}
}

// A kick ends the sessions that are older than it, refuses those that are still on their way, and leaves alone who came after it.
func TestKicks(t *testing.T) {
	t.Parallel()
	g := newRegistry(0, 0)
	old, other, later := guest(t, "alice+1", "1", 1, "192.0.2.1"), guest(t, "bob", "2", 2, "192.0.2.1"), guest(t, "alice+2", "3", 9, "192.0.2.1")
	for _, r := range []running{old, other, later} {
		if err := stay(g, r); err != nil {
			t.Fatal(err)
		}
	}
	g.kick(tokens.KickRecord{Role: room.Sub, Room: old.ID.Room, ID: old.ID.Full.ID(), Inc: 5})
	if !errors.Is(context.Cause(old.Ctx), errKicked) || other.Ctx.Err() != nil || later.Ctx.Err() != nil {
		t.Errorf("ended: %v, %v, %v", context.Cause(old.Ctx), other.Ctx.Err(), later.Ctx.Err())
	}
	if got := code(stay(g, guest(t, "alice-screen", "4", 4, "192.0.2.1"))); got != apierr.BadToken {
		t.Errorf("one on its way: %q", got)
	}
	g.forgetKicks() // it is too young to be forgotten
	if got := code(stay(g, guest(t, "alice", "5", 4, "192.0.2.1"))); got != apierr.BadToken {
		t.Errorf("another: %q", got)
	}
	other.End(errDeleted)
	later.End(errDeleted)
	g.close()
	g.wait()
	if n := g.counts(); n[room.Sub] != 0 {
		t.Errorf("%v are left", n)
	}
}

// Only the whole URL finds a session.
func TestWhoIsFound(t *testing.T) {
	t.Parallel()
	g := newRegistry(0, 0)
	r := guest(t, "alice", "1", 1, "192.0.2.1")
	if err := stay(g, r); err != nil {
		t.Fatal(err)
	}
	bob := guest(t, "bob", "1", 1, "192.0.2.1").ID.Full
	for _, c := range []struct {
		role    room.Role
		full    room.FullID
		session string
		want    apierr.Code
	}{
		{room.Sub, r.ID.Full, "1", ""},
		{room.Pub, r.ID.Full, "1", apierr.NoSession},
		{room.Sub, bob, "1", apierr.NoSession},
		{room.Sub, r.ID.Full, "2", apierr.NoSession},
	} {
		if _, err := g.find(c.role, r.ID.Room, c.full, c.session); code(err) != c.want {
			t.Errorf("%s %s %s: %v", c.role, c.full, c.session, err)
		}
	}
	r.End(errDeleted)
}

// One debt that cannot be paid ends the round, so that an outage costs one attempt, but does not stand in the way of the others.
func TestDebts(t *testing.T) {
	t.Parallel()
	var d debts
	broke, paid := true, ""
	d.owe(func(context.Context) error { paid += "a"; return nil })
	d.owe(func(context.Context) error {
		if broke {
			return errors.New("Redis is away")
		}
		paid += "b"
		return nil
	})
	d.owe(func(context.Context) error { paid += "c"; return nil })
	d.pay(t.Context())
	if paid != "a" {
		t.Errorf("paid %q", paid)
	}
	d.pay(t.Context())
	broke = false
	d.pay(t.Context())
	d.pay(t.Context())
	if paid != "acb" {
		t.Errorf("paid %q", paid)
	}
}
