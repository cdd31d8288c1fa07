package fanout

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weever/mediad/internal/fanout/history"
	"weever/mediad/internal/udpio"
)

const frameTime = time.Second / 30

// play writes frames in time, the first a key frame.
func (e *encoder) play(frames, packets int) {
	for i := range frames {
		e.frame(i == 0, packets, 500)
		<-time.After(frameTime)
	}
}

// TestReplay: a viewer who joins late gets the key frame at once, then all that followed, eight times as fast, then goes on live,
// with nothing missing and nothing twice.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStream(t, StreamConfig{Codec: "video/VP8", Clock: 90000, KeyframeWish: func() {}})
		e := &encoder{tb: t, stream: s, seq: 65500}
		e.play(10, 2)
		key := e.seq
		e.play(75, 2) // 2.5 s since the key frame
		var sink recorder
		joined := time.Now()
		defer s.Attach(&sink)()
		for range 30 {
			<-time.After(frameTime)
			e.frame(false, 2, 500)
		}
		synctest.Wait()
		all := sink.all()
		if got := seqs(all); !slices.Equal(got, span(key, e.seq-1)) {
			t.Fatalf("got %v", got)
		}
		if st := s.Stats(); st.Wishes != 0 || st.Replays != 1 || st.Misses != 0 {
			t.Errorf("%d key frames were asked for, %d viewers replayed, %d not", st.Wishes, st.Replays, st.Misses)
		}
		pivot := all[0].Pivot
		for i, p := range all {
			if !bytes.Equal(p.Payload, vp8(p.Desc.Keyframe || i == 1, i%2 == 0, uint32(p.Seq), 500)) {
				t.Fatalf("packet %d has another payload", i)
			}
			since := p.at.Sub(joined)
			due := time.Duration(i/2) * frameTime / history.ReplaySpeed
			switch {
			case i < 2 && since != 0:
				t.Errorf("the key frame came after %v", since)
			case p.Speed == history.ReplaySpeed && (since > due+time.Microsecond || due-since > history.ReplayTick):
				t.Errorf("packet %d came after %v, want %v or a tick before", i, since, due)
			case p.Speed == history.ReplaySpeed && p.Pivot != pivot:
				t.Errorf("the pivot moved")
			case p.Speed == history.ReplaySpeed && int32(p.Timestamp-pivot) > 3000:
				t.Errorf("packet %d was replayed %d ticks behind the pivot", i, int32(p.Timestamp-pivot))
			case p.Speed == 0 && int32(p.Timestamp-pivot) < -3000:
				t.Errorf("packet %d was live %d ticks before the pivot", i, int32(pivot-p.Timestamp))
			}
		}
		if last := all[len(all)-1]; last.Speed != 0 || !last.at.Equal(time.Now()) {
			t.Errorf("the viewer is not live: %+v", last)
		}
		s.Close()
	})
}

func TestAttachWithoutCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStream(t, StreamConfig{Codec: "video/VP8", Clock: 90000, KeyframeWish: func() {}})
		e := &encoder{tb: t, stream: s}
		e.play(5, 1)
		e.seq++ // a hole
		e.frame(false, 1, 100)
		var sink, live recorder
		defer s.Attach(&sink)()
		defer s.AttachLive(&live)()
		synctest.Wait()
		if st := s.Stats(); st.Wishes != 1 || st.Replays != 0 || st.Misses != 1 {
			t.Errorf("%d key frames were asked for, want 1; %d viewers replayed, %d not", st.Wishes, st.Replays, st.Misses)
		}
		from := e.seq
		e.frame(true, 1, 100)
		for _, r := range []*recorder{&sink, &live} {
			if got := seqs(r.all()); !slices.Equal(got, []uint16{from}) {
				t.Errorf("got %v, want only what came after joining", got)
			}
		}
		s.Close()
	})
}

// TestReplayEnds: by detaching, and with the stream. goleak sees that no goroutine stays.
func TestReplayEnds(t *testing.T) {
	for name, end := range map[string]func(s *Stream, detach func()){
		"detach": func(_ *Stream, detach func()) { detach() },
		"close":  func(s *Stream, _ func()) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStream(t, StreamConfig{})
				e := &encoder{tb: t, stream: s}
				e.play(60, 1)
				var sink recorder
				detach := s.Attach(&sink)
				<-time.After(50 * time.Millisecond)
				synctest.Wait()
				end(s, detach)
				n := len(sink.all())
				if n == 0 || n == 60 {
					t.Fatalf("%d packets after 50 ms, want some but not all", n)
				}
				<-time.After(time.Second)
				if got := len(sink.all()); got != n {
					t.Errorf("%d packets came after the end", got-n)
				}
				s.Close()
			})
		})
	}
}

// TestReplaySurvivesWildTimestamps: a publisher's odd clock must not hold a viewer up.
func TestReplaySurvivesWildTimestamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStream(t, StreamConfig{})
		e := &encoder{tb: t, stream: s}
		e.frame(true, 1, 100)
		good := e.ts
		e.ts = 1 << 30
		e.frame(false, 1, 100)
		e.ts = good
		e.frame(false, 1, 100)
		var sink recorder
		defer s.Attach(&sink)()
		<-time.After(2 * time.Second)
		e.frame(false, 1, 100)
		if got := seqs(sink.all()); !slices.Equal(got, span(0, 3)) {
			t.Errorf("got %v", got)
		}
		s.Close()
	})
}

// TestReplayMeetsWriter joins and leaves all the time while 40 packets a millisecond are written; every viewer must see an unbroken
// sequence.
func TestReplayMeetsWriter(t *testing.T) {
	s := newTestStream(t, StreamConfig{})
	e := &encoder{tb: t, stream: s}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for i := range 20 {
				e.frame(i == 0, 2, 200)
				e.ts -= 3000 - 4
			}
		}
	}()
	for range 40 {
		sinks := make([]chained, 5)
		var detach []func()
		for i := range sinks {
			sinks[i].tb, sinks[i].enough = t, make(chan struct{})
			detach = append(detach, s.Attach(&sinks[i]))
		}
		for i := range sinks {
			<-sinks[i].enough
		}
		for _, d := range detach {
			d()
		}
	}
	close(stop)
	<-done
}

// chained is a Sink that wants indexes without holes, the replay's and the live ones alike, by one caller at a time.
type chained struct {
	tb     testing.TB
	last   uint64
	live   int
	enough chan struct{}
}

func (c *chained) WritePackets(_ *udpio.Batch, burst []Packet) {
	for i := range burst {
		p := &burst[i]
		if c.last != 0 && p.Index != c.last+1 {
			c.tb.Errorf("packet %d after %d (speed %d)", p.Index, c.last, p.Speed)
		}
		c.last = p.Index
		if p.Speed == 0 {
			if c.live++; c.live == 20 {
				close(c.enough)
			}
		}
	}
}

func (c *chained) WriteReport(*udpio.Batch, SenderReport) {}

func TestHeld(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cached bool
		asked  bool // RequestKeyframe while held
		wishes uint64
	}{
		{"a cached key frame", true, false, 0},
		{"no key frame", false, false, 1},
		{"a cached key frame, but a fresh one is wanted", true, true, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStream(t, StreamConfig{Codec: "video/VP8", Clock: 90000, Held: true, KeyframeWish: func() {}})
				e := &encoder{tb: t, stream: s}
				var sink, gone recorder
				s.Attach(&sink)
				s.Attach(&gone)()
				if tc.asked {
					s.RequestKeyframe()
				}
				e.frame(tc.cached, 1, 100)
				e.frame(false, 1, 100)
				<-time.After(time.Second)
				if n := len(sink.all()); n != 0 {
					t.Fatalf("%d packets before Release", n)
				}
				if n := s.Stats().Wishes; n != 0 {
					t.Fatalf("%d wishes before Release", n)
				}
				s.Release()
				<-time.After(time.Second)
				e.frame(false, 1, 100)
				want := span(2, 2)
				if tc.cached {
					want = span(0, 2)
				}
				if got := seqs(sink.all()); !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
				if n := s.Stats().Wishes; n != tc.wishes {
					t.Errorf("%d wishes, want %d", n, tc.wishes)
				}
				if len(gone.all()) != 0 {
					t.Error("a sink that had gone got packets")
				}
				s.Close()
			})
		})
	}
}

// TestReadCached: another node reads the cache in pieces, and what came meanwhile.
func TestReadCached(t *testing.T) {
	s := newTestStream(t, StreamConfig{})
	e := &encoder{tb: t, stream: s, seq: 65530}
	burst, buf := make([]Packet, 0, 4), []byte(nil)
	read := func(c Cursor) ([]uint16, Cursor) {
		burst, buf, c = s.ReadCached(c, burst, buf)
		var list []uint16
		for _, p := range burst {
			list = append(list, p.Seq)
			if !bytes.Equal(p.Payload[len(p.Payload)-2:], []byte{byte(p.Seq >> 8), byte(p.Seq)}) {
				t.Errorf("packet %d has another payload", p.Seq)
			}
		}
		return list, c
	}
	if got, c := read(0); got != nil || c != 0 {
		t.Errorf("an empty stream: %v, %d", got, c)
	}
	e.frame(false, 2, 100)
	if got, c := read(0); got != nil || c != 0 {
		t.Errorf("no key frame: %v, %d", got, c)
	}
	e.frame(true, 3, 100)
	e.frame(false, 4, 100)
	got, c := read(0)
	if !slices.Equal(got, span(65532, 65535)) {
		t.Errorf("first piece %v", got)
	}
	got, c = read(c)
	if !slices.Equal(got, span(0, 2)) {
		t.Errorf("second piece %v", got)
	}
	if got, again := read(c); got != nil || again != c {
		t.Errorf("at the end: %v, cursor %d after %d", got, again, c)
	}
	e.frame(false, 1, 100)
	if got, _ = read(c); !slices.Equal(got, []uint16{3}) {
		t.Errorf("what came meanwhile: %v", got)
	}
	if got, _ := read(1 << 60); got != nil {
		t.Errorf("a cursor from nowhere: %v", got)
	}
	if got, _ := read(1); len(got) != 4 {
		t.Errorf("a cursor long gone: %v", got)
	}
}
