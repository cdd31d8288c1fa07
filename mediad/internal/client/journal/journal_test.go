package journal

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"weever/mediad/internal/control"
)

func pong(i int) control.Message { return control.Pong{Text: fmt.Sprint(i)} }

func TestBounds(t *testing.T) {
	j := New()
	for i := range MaxList + 10 {
		j.Add(pong(i))
		j.Fault(errors.New("bad"))
	}
	list := j.List()
	if len(list) > MaxList || list[len(list)-1] != pong(MaxList+9) {
		t.Errorf("%d messages, the last %v", len(list), list[len(list)-1])
	}
	if n := len(j.Faults()); n != MaxList {
		t.Errorf("%d faults", n)
	}
	for i := range MaxEvents {
		if m := <-j.Events(); m != pong(i) {
			t.Fatalf("event %d is %v", i, m)
		}
	}
	select {
	case m := <-j.Events():
		t.Errorf("%v should have been dropped", m)
	default:
	}
}

func TestDescriptionsAreNotKept(t *testing.T) {
	j := New()
	j.Add(control.SDPOffer{SDP: "long"})
	j.Add(control.SDPAnswer{SDP: "long"})
	if list := j.List(); list[0] != (control.SDPOffer{}) || list[1] != (control.SDPAnswer{}) {
		t.Errorf("%v", list)
	}
}

func TestAwait(t *testing.T) {
	j := New()
	is := func(i int) func(control.Message) bool { return func(m control.Message) bool { return m == pong(i) } }
	go func() {
		for i := range 3 {
			j.Add(pong(i))
		}
	}()
	_, next, err := j.Await(t.Context(), 0, is(1))
	if err != nil || next != 2 {
		t.Errorf("%d, %v", next, err)
	}
	if _, next, err = j.Await(t.Context(), next, is(2)); err != nil || next != 3 {
		t.Errorf("%d, %v", next, err)
	}
	why := errors.New("no more time")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, _, err = j.Await(ctx, next, is(1)); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}
