package session

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/turnstile"
	"weever/mediad/internal/session/viewer"
	"weever/shared/apierr"
	"weever/shared/room"
	"weever/shared/tokens"
)

// TestWords: what an operator reads comes from lists, whatever the error says.
func TestWords(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx    context.Context
		answer *Answer
		err    error
		want   string
	}{
		{t.Context(), &Answer{}, nil, "ok"},
		{over, &Answer{}, nil, "ok"},
		{t.Context(), nil, nil, "internal"},
		{over, nil, context.Canceled, "given_up"},
		{over, nil, apierr.Wrap(apierr.Unavailable, context.Canceled, "Redis is away"), "given_up"},
		{over, nil, apierr.Wrap(apierr.Unavailable, errFull, "full"), "full"},
		{over, nil, apierr.Wrap(apierr.Unavailable, errDraining, "draining"), "draining"},
		{over, nil, overloaded(apierr.New(apierr.Unavailable, "busy")), "overloaded"},
		{over, nil, apierr.New(apierr.TooMany, "too many"), "too_many"},
		{t.Context(), nil, apierr.Wrap(apierr.Unavailable, errFull, "full"), "full"},
		{t.Context(), nil, overloaded(apierr.New(apierr.Unavailable, "busy")), "overloaded"},
		{t.Context(), nil, apierr.New(apierr.NobodyLive, "nobody"), "nobody_live"},
		{t.Context(), nil, apierr.New(apierr.TooMany, "too many"), "too_many"},
		{t.Context(), nil, errors.New("secret text"), "internal"},
	} {
		if got := outcome(c.ctx, c.answer, c.err); got != c.want {
			t.Errorf("%v is %q, want %q", c.err, got, c.want)
		}
	}
	if apierr.From(overloaded(apierr.New(apierr.Unavailable, "busy"))).Code != apierr.Unavailable || overloaded(nil) != nil {
		t.Error("a refusal lost its code")
	}
	for want, cause := range map[string]error{
		"kicked": errKicked, "silent": fmt.Errorf("so: %w", life.ErrSilent), "no_answer": viewer.ErrNoAnswer, "other": errors.New("a client's text"),
	} {
		if got := ended(cause); got != want {
			t.Errorf("%v is %q, want %q", cause, got, want)
		}
	}
}

// TestAPanicIsNoJoin: whoever it struck has no session.
func TestAPanicIsNoJoin(t *testing.T) {
	t.Parallel()
	s := &Service{registry: newRegistry(0, 0), load: func() error { panic("ouch") }}
	for _, post := range []func(){
		func() { _, _ = s.Publish(t.Context(), Entry{}) },
		func() { _, _ = s.Subscribe(t.Context(), Entry{}, SubOptions{}) },
	} {
		func() {
			defer func() { _ = recover() }()
			post()
		}()
	}
	joins, _ := s.registry.count.Read()
	if len(joins) != 2 || joins[turnstile.Key{Role: room.Pub, Word: "internal"}] != 1 || joins[turnstile.Key{Role: room.Sub, Word: "internal"}] != 1 {
		t.Errorf("%v", joins)
	}
}

// TestSessionsAreCounted by state while they run, and by cause when they have ended.
func TestSessionsAreCounted(t *testing.T) {
	t.Parallel()
	g := newRegistry(0, 0)
	alice, bob := guest(t, "alice", "1", 1, "192.0.2.1"), guest(t, "bob", "2", 2, "192.0.2.1")
	for _, r := range []running{alice, bob} {
		if err := stay(g, r); err != nil {
			t.Fatal(err)
		}
	}
	bob.Reach(life.Live)
	if n := g.standing(); n[Standing{room.Sub, life.Pending}] != 1 || n[Standing{room.Sub, life.Live}] != 1 || len(n) != 2 {
		t.Errorf("running: %v", n)
	}
	g.kick(tokens.KickRecord{Role: room.Sub, Room: alice.ID.Room, ID: alice.ID.Full.ID(), Inc: 5})
	bob.End(life.ErrStopped)
	g.close()
	g.wait()
	_, ends := g.count.Read()
	if ends[turnstile.Key{Role: room.Sub, Word: "kicked"}] != 1 || ends[turnstile.Key{Role: room.Sub, Word: "stopped"}] != 1 || len(ends) != 2 {
		t.Errorf("ended: %v", ends)
	}
	if n := g.standing(); len(n) != 0 {
		t.Errorf("running: %v", n)
	}
}
