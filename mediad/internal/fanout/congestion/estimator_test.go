package congestion

import (
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/interceptor/pkg/twcc"

	"weever/mediad/internal/fanout/congestion/report"
)

// far is a viewer whose packets are sent and reported on by hand.
type far struct {
	t   testing.TB
	e   *Estimator
	r   *twcc.Recorder
	now time.Time
}

func newFar(t testing.TB, start int) *far {
	return &far{t: t, e: New(start), r: twcc.NewRecorder(1), now: time.Unix(1_700_000_000, 0)}
}

// send sends n packets of 1000 bytes, of which all arrive after a delay.
func (f *far) send(n int, delay time.Duration) {
	for i := range n {
		f.r.Record(2, f.e.Sent(1000, f.now), f.now.Add(delay+time.Duration(i)*time.Microsecond).UnixMicro())
	}
}

func (f *far) reports() [][]byte {
	f.t.Helper()
	var out [][]byte
	for _, p := range f.r.BuildFeedbackPacket() {
		b, err := p.Marshal()
		if err != nil {
			f.t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func (f *far) take(reports [][]byte) {
	f.t.Helper()
	for _, b := range reports {
		if err := f.e.Feedback(b, f.now); err != nil {
			f.t.Fatal(err)
		}
	}
}

// flow sends n packets every 20 ms for a time, and reports every fifth time. delay is that of each.
func (f *far) flow(d time.Duration, n int, delay func(at time.Duration) time.Duration) {
	f.t.Helper()
	for at := time.Duration(0); at < d; at += 20 * time.Millisecond {
		f.send(n, delay(at))
		if at%(100*time.Millisecond) == 0 {
			f.take(f.reports())
		}
		f.now = f.now.Add(20 * time.Millisecond)
	}
	f.take(f.reports())
}

func still(time.Duration) time.Duration { return 30 * time.Millisecond }

func TestStates(t *testing.T) {
	f := newFar(t, 0)
	want := func(name string, s State) Reading {
		t.Helper()
		r := f.e.Read(f.now)
		if r.State != s {
			t.Errorf("%s: %v, not %v: %+v", name, r.State, s, r)
		}
		return r
	}
	if r := want("new", Starting); r.Rate != DefaultStart || r.Delivered != 0 {
		t.Errorf("new: %+v", r)
	}
	f.send(5, 0)
	f.now = f.now.Add(time.Hour)
	if r := want("never reported", Starting); r.Rate != DefaultStart {
		t.Errorf("never reported: %+v", r)
	}
	f.flow(3*time.Second, 2, still)
	if r := want("flowing", Steady); r.Delivered < 700_000 || r.Delivered > 900_000 || r.Queue > time.Millisecond || r.RTT > 100*time.Millisecond {
		t.Errorf("flowing: %+v", r)
	}
	rate := f.e.Read(f.now).Rate
	f.flow(time.Second, 2, func(at time.Duration) time.Duration { return still(at) + at/2 })
	if r := want("ever later", Congested); r.Rate >= rate || r.Rate > 700_000 || r.Queue < 200*time.Millisecond {
		t.Errorf("ever later, before %d: %+v", rate, r)
	}
	f.flow(time.Second, 2, func(at time.Duration) time.Duration { return still(at) + (time.Second-at)/2 })
	want("less late", Draining)
	f.flow(3*time.Second, 2, still)
	want("as before", Steady)
	if s := f.e.Stats(); s.Reports < 70 || s.Cuts == 0 || s.Malformed != 0 || s.Repeated != 0 {
		t.Errorf("%+v", s)
	}
}

// TestRest: who is not sent anything has nothing to report, even if the last report was lost.
func TestRest(t *testing.T) {
	f := newFar(t, 1_000_000)
	f.flow(2*time.Second, 2, still)
	before := f.e.Read(f.now)
	f.send(2, 0)
	f.e.Rest()
	f.now = f.now.Add(time.Minute)
	if r := f.e.Read(f.now); r.State != Steady || r.Rate != before.Rate {
		t.Errorf("%+v, before %+v", r, before)
	}
	f.send(2, 0)
	f.now = f.now.Add(2 * time.Second)
	if r := f.e.Read(f.now); r.State != Blind {
		t.Errorf("when it goes on: %+v", r)
	}
}

// TestBlind: when reports stop, the rate holds for a second and falls by a third each second after.
func TestBlind(t *testing.T) {
	f := newFar(t, 1_000_000)
	f.flow(2*time.Second, 2, still)
	f.now = f.now.Add(time.Minute) // nothing is sent: nothing is to be reported
	before := f.e.Read(f.now)
	if before.State != Steady {
		t.Fatalf("silence: %+v", before)
	}
	f.send(2, 0)
	for ms, falls := range map[int]float64{900: 0, 1100: 1, 1900: 1, 2100: 2, 4500: 4} {
		g := newFar(t, 1_000_000)
		g.flow(2*time.Second, 2, still)
		rate := float64(g.e.Read(g.now).Rate)
		g.now = g.now.Add(time.Minute)
		g.send(1, 0)
		r := g.e.Read(g.now.Add(time.Duration(ms) * time.Millisecond))
		if want := rate * math.Pow(blindShare, falls); math.Abs(float64(r.Rate)-want) > 5 || (r.State == Blind) != (falls > 0) {
			t.Errorf("after %d ms: %+v, not %.0f", ms, r, want)
		}
	}
	if r := f.e.Read(f.now.Add(time.Hour)); r.Rate != leastRate {
		t.Errorf("after an hour: %+v", r)
	}
	f.take(f.reports())
	if r := f.e.Read(f.now); r.State == Blind {
		t.Errorf("reported again: %+v", r)
	}
}

func TestRepeatedAndForeignReports(t *testing.T) {
	f := newFar(t, 0)
	f.flow(time.Second, 2, still)
	f.send(20, still(0))
	reports := f.reports()
	f.take(reports)
	before, stats := f.e.Read(f.now), f.e.Stats()
	f.take(reports)
	again := [][]byte{append([]byte(nil), reports[0]...)}
	again[0][19]++ // another one that says the same
	f.take(again)
	foreign := newFar(t, 0) // of packets that this one never sent
	foreign.send(2000, still(0))
	foreign.reports()
	foreign.send(4, still(0))
	f.take(foreign.reports())
	if r := f.e.Read(f.now); r != before {
		t.Errorf("%+v, before %+v", r, before)
	}
	if s := f.e.Stats(); s.Repeated != stats.Repeated+1 {
		t.Errorf("%+v", s)
	}
	if err := f.e.Feedback(reports[0][:10], f.now); !errors.Is(err, report.ErrMalformed) || f.e.Stats().Malformed != 1 {
		t.Errorf("%v, %+v", err, f.e.Stats())
	}
}

// TestLateIsNotLost: a packet that overtakes others makes no loss, though the first report says so.
func TestLateIsNotLost(t *testing.T) {
	f := newFar(t, 0)
	for range 40 {
		var late []uint16
		for i := range 5 {
			seq := f.e.Sent(1000, f.now)
			if i == 2 {
				late = append(late, seq)
				continue
			}
			f.r.Record(2, seq, f.now.Add(still(0)).UnixMicro())
		}
		f.take(f.reports())
		f.now = f.now.Add(25 * time.Millisecond)
		for _, seq := range late {
			f.r.Record(2, seq, f.now.Add(still(0)).UnixMicro())
		}
		f.take(f.reports())
	}
	if r := f.e.Read(f.now); r.Loss > 0.03 || r.Delivered < 1_400_000 {
		t.Errorf("%+v", r)
	}
}

// TestLostReports: what they told is taken for delivered.
func TestLostReports(t *testing.T) {
	f := newFar(t, 0)
	for i := range 60 {
		f.send(5, still(0))
		if b := f.reports(); i%3 != 1 {
			f.take(b)
		}
		f.now = f.now.Add(50 * time.Millisecond)
	}
	if r := f.e.Read(f.now); r.Loss != 0 || r.Delivered < 700_000 || r.Delivered > 900_000 {
		t.Errorf("%+v", r)
	}
}

// TestHistoryGrows: a viewer of many tracks, reported on late.
func TestHistoryGrows(t *testing.T) {
	f := newFar(t, 0)
	f.send(leastHistory, still(0))
	if n := len(f.e.history.ring); n != leastHistory {
		t.Fatalf("%d places", n)
	}
	f.send(1000, still(0))
	f.take(f.reports())
	if n := len(f.e.history.ring); n != mostHistory {
		t.Errorf("%d places", n)
	}
	if f.e.losses.got != leastHistory+1000 {
		t.Errorf("%d of %d known", f.e.losses.got, leastHistory+1000)
	}
	f.send(10*mostHistory, still(0))
	if n := len(f.e.history.ring); n != mostHistory {
		t.Errorf("%d places", n)
	}

	slow := newFar(t, 0)
	for range 10 * leastHistory {
		slow.send(1, still(0))
		slow.now = slow.now.Add(20 * time.Millisecond)
	}
	if n := len(slow.e.history.ring); n != leastHistory {
		t.Errorf("%d places for a few", n)
	}
}

// TestMemory: what a viewer costs.
func TestMemory(t *testing.T) {
	if n := unsafe.Sizeof(Estimator{}) + mostHistory*unsafe.Sizeof(sent{}); n > 18<<10 {
		t.Errorf("%d bytes", n)
	}
	e, now := New(0), time.Now()
	if e.history.ring != nil {
		t.Error("memory before the first packet")
	}
	for range mostHistory {
		e.Sent(1000, now)
	}
	if n := testing.AllocsPerRun(1000, func() { e.Sent(1000, now) }); n != 0 {
		t.Errorf("%v allocations for a packet", n)
	}
	f := newFar(t, 0)
	var reports [][]byte
	for range 101 {
		f.send(20, still(0))
		f.now = f.now.Add(50 * time.Millisecond)
		reports = append(reports, f.reports()...)
	}
	if n := testing.AllocsPerRun(len(reports)-1, func() {
		if f.e.Feedback(reports[0], f.now) != nil {
			t.Error("refused")
		}
		reports = reports[1:]
		f.e.Read(f.now)
	}); n != 0 {
		t.Errorf("%v allocations for a report", n)
	}
}

// TestConcurrentUse: several tracks write while reports come and the session looks.
func TestConcurrentUse(t *testing.T) {
	f := newFar(t, 0)
	f.send(100, still(0))
	reports := f.reports()
	var all sync.WaitGroup
	seen := make([][]uint16, 3)
	for i := range seen {
		all.Go(func() {
			for range 1000 {
				seen[i] = append(seen[i], f.e.Sent(1000, f.now))
			}
		})
	}
	all.Go(func() {
		for range 1000 {
			_ = f.e.Feedback(reports[0], f.now)
			f.e.Read(f.now)
			f.e.Stats()
		}
	})
	all.Wait()
	once := map[uint16]bool{}
	for _, seqs := range seen {
		for _, seq := range seqs {
			once[seq] = true
		}
	}
	if len(once) != 3000 {
		t.Errorf("%d numbers for 3000 packets", len(once))
	}
}

func FuzzFeedback(f *testing.F) {
	far := newFar(f, 0)
	script := []byte{20}
	for i := range 5 {
		far.send(20, time.Duration(i)*time.Millisecond)
		b := far.reports()[0]
		script = append(append(script, 3, byte(len(b))), b[4:]...)
	}
	f.Add(script)
	f.Fuzz(func(t *testing.T, script []byte) {
		e, now := New(0), time.Unix(1_700_000_000, 0)
		next := func() (b byte) {
			if len(script) > 0 {
				b, script = script[0], script[1:]
			}
			return b
		}
		for len(script) > 0 {
			for range next() {
				e.Sent(int(next())<<3, now)
			}
			now = now.Add(time.Duration(next()) * time.Millisecond)
			n := min(int(next())&^3, len(script)&^3)
			b := append([]byte{0x8f, 205, 0, 0}, script[:n]...)
			script = script[n:]
			binary.BigEndian.PutUint16(b[2:], uint16(n/4))
			if err := e.Feedback(b, now); err != nil && !errors.Is(err, report.ErrMalformed) {
				t.Fatal(err)
			}
			r := e.Read(now)
			if r.Rate < leastRate || r.Rate > mostRate || r.Loss < 0 || r.Loss > 1 || r.Queue < 0 || r.RTT < 0 || r.Delivered < 0 || r.Burst < 0 {
				t.Fatalf("%+v", r)
			}
		}
	})
}
