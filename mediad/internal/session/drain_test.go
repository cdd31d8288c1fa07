package session

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"weever/shared/apierr"
	"weever/shared/room"
)

// asked reports whether a guest was asked to leave.
func asked(r running) bool {
	select {
	case <-r.Asked():
		return true
	default:
		return false
	}
}

// All are asked, publishers first, and nobody else is let in; who leaves is not waited for, and nobody is ended.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := &Service{registry: newRegistry(0, 0), log: slog.New(slog.DiscardHandler)}
	viewer, publisher := guest(t, "alice", "1", 1, "192.0.2.1"), guest(t, "bob", "2", 2, "192.0.2.2")
	publisher.ID.Role = room.Pub
	for _, r := range []running{viewer, publisher} {
		if err := stay(s.registry, r); err != nil {
			t.Fatal(err)
		}
	}
	if list := s.registry.shut(false); list[0].ID.Role != room.Pub || len(list) != 2 {
		t.Errorf("asked in the order %+v", list)
	}

	s.Drain(t.Context(), time.Now().Add(50*time.Millisecond)) // nobody leaves
	if !asked(viewer) || !asked(publisher) || viewer.Ctx.Err() != nil {
		t.Error("not asked, or ended")
	}
	if err := admit(s.registry); code(err) != apierr.Unavailable || !errors.Is(err, errDraining) {
		t.Errorf("others are told %v", err)
	}
	s.Stay()
	if err := admit(s.registry); err != nil {
		t.Errorf("after it was called off: %v", err)
	}

	off, cancel := context.WithCancel(t.Context())
	cancel()
	s.Drain(off, time.Now().Add(time.Hour)) // called off: it returns

	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Drain(t.Context(), time.Now().Add(time.Hour))
	}()
	for _, r := range []running{viewer, publisher} {
		<-r.Asked()
		r.End(errDeleted)
	}
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("it waits for nobody")
	}
}
