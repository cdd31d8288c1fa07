package drain

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// house is a number of sessions that leave when the test says so.
type house struct {
	mu   sync.Mutex
	shut bool
	in   int
	left chan struct{}
}

func newHouse(in int) *house { return &house{in: in, left: make(chan struct{}, 100)} }

func (h *house) Shut() { h.set(true, 0) }
func (h *house) Stay() { h.set(false, 0) }

func (h *house) set(shut bool, in int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shut = shut
	h.in += in
}

func (h *house) leave() {
	h.set(true, -1)
	h.left <- struct{}{}
}

func (h *house) Drain(ctx context.Context, by time.Time) {
	h.Shut()
	ctx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	for _, in := h.Counts(); in > 0 && ctx.Err() == nil; _, in = h.Counts() {
		select {
		case <-h.left:
		case <-ctx.Done():
		}
	}
}

func (h *house) Counts() (publishers, viewers int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return 0, h.in
}

func (h *house) isShut() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shut
}

// board is what balancers were told.
type board struct {
	mu   sync.Mutex
	told []bool
}

func (b *board) tell(_ context.Context, draining bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, draining)
	return errors.New("Consul is away") // it must not matter
}

func (b *board) last() []bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.told)
}

func newDrain() *Drain {
	return New(Config{Timeout: time.Minute, Log: slog.New(slog.DiscardHandler)})
}

func TestAllLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, h, b := newDrain(), newHouse(2), &board{}
		defer d.Close()
		d.Serve(t.Context(), h, b.tell)
		if d.On() || d.Left() != 0 {
			t.Error("it drains unasked")
		}
		r := d.Start()
		if !h.isShut() || !d.On() || d.Left() != 2 || d.Start() != r {
			t.Error("not shut at once, or begun twice")
		}
		h.leave()
		<-time.After(time.Second)
		h.leave()
		began := time.Now()
		if left, err := r.Wait(t.Context()); left != 0 || err != nil || time.Since(began) != 0 {
			t.Errorf("%d left, %v, after %v more", left, err, time.Since(began))
		}
		d.End(t.Context())
		if _, err := d.Cancel(t.Context()); !errors.Is(err, ErrEnding) || time.Since(began) != 0 {
			t.Errorf("ended after %v; %v", time.Since(began), err)
		}
		if !slices.Equal(b.last(), []bool{true}) {
			t.Errorf("told %v", b.last())
		}
	})
}

func TestSomeStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, h := newDrain(), newHouse(3)
		defer d.Close()
		d.Serve(t.Context(), h, nil)
		began := time.Now()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if left, err := d.Start().Wait(impatient); left != 3 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d left, %v", left, err)
		}
		d.End(t.Context())
		if took := time.Since(began); took != time.Minute || d.Left() != 3 {
			t.Errorf("%d left after %v", d.Left(), took)
		}
	})
}

func TestCalledOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, h, b := newDrain(), newHouse(1), &board{}
		defer d.Close()
		d.Serve(t.Context(), h, b.tell)
		if off, err := d.Cancel(t.Context()); off || err != nil {
			t.Errorf("there was nothing to call off: %v %v", off, err)
		}
		for range 3 {
			r := d.Start()
			synctest.Wait()
			if off, err := d.Cancel(t.Context()); !off || err != nil || d.On() || h.isShut() {
				t.Errorf("%v %v", off, err)
			}
			if _, err := r.Wait(t.Context()); !errors.Is(err, ErrOff) {
				t.Errorf("who waits is told %v", err)
			}
		}
		if !slices.Equal(b.last(), []bool{true, false, true, false, true, false}) {
			t.Errorf("told %v", b.last())
		}
		// Even when it was done.
		_, _ = d.Start().Wait(t.Context())
		if off, err := d.Cancel(t.Context()); !off || err != nil || d.On() || h.isShut() {
			t.Errorf("%v %v", off, err)
		}
	})
}

// Before there are sessions a drain is done at once, and those that come later find the door shut.
func TestBeforeItServes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, h, b := newDrain(), newHouse(0), &board{}
		defer d.Close()
		if left, err := d.Start().Wait(t.Context()); left != 0 || err != nil {
			t.Errorf("%d %v", left, err)
		}
		d.Serve(t.Context(), h, b.tell)
		if !h.isShut() || !slices.Equal(b.last(), []bool{true}) {
			t.Errorf("shut %v, told %v", h.isShut(), b.last())
		}
		if _, err := d.Cancel(t.Context()); err != nil || h.isShut() || !slices.Equal(b.last(), []bool{true, false}) {
			t.Errorf("shut %v, told %v, %v", h.isShut(), b.last(), err)
		}
	})
}

// Who waits when the node ends otherwise does not wait for ever.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDrain()
		d.Serve(t.Context(), newHouse(1), nil)
		r := d.Start()
		d.Close()
		if _, err := r.Wait(t.Context()); !errors.Is(err, ErrEnding) {
			t.Error(err)
		}
	})
}
