package arrival

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"

	"weever/mediad/internal/client/synth"
)

// TestWindowAgainstASet compares with the plain way of counting.
func TestWindowAgainstASet(t *testing.T) {
	for _, c := range []struct {
		name   string
		bits32 bool
		loss   float64
		jitter int
	}{
		{"in order", false, 0, 1}, {"loss", false, 0.2, 1}, {"disorder", false, 0, 50}, {"both, 32 bits", true, 0.3, 200}, {"both, 16 bits", false, 0.3, 200},
	} {
		rng := rand.New(rand.NewPCG(1, 2))
		var w window
		seen := map[int64]bool{}
		lowest, highest := int64(-1), int64(-1)
		base := int64(1<<32 - 70000) // wraps in 16 and in 32 bits
		for i := range int64(200000) {
			if rng.Float64() < c.loss {
				continue
			}
			n := base + i - int64(rng.IntN(c.jitter))
			if lowest < 0 {
				lowest, highest = n, n
			}
			lowest, highest = min(lowest, n), max(highest, n)
			var fresh bool
			if c.bits32 {
				fresh = w.add32(uint32(n))
			} else {
				fresh = w.add16(uint16(n))
			}
			if fresh == seen[n] {
				t.Fatalf("%s: %d is new: %v, was seen: %v", c.name, n, fresh, seen[n])
			}
			seen[n] = true
		}
		if want := uint64(highest-lowest+1) - uint64(len(seen)); w.lost() != want || w.got != uint64(len(seen)) {
			t.Errorf("%s: %d lost and %d got, want %d and %d", c.name, w.lost(), w.got, want, len(seen))
		}
	}
}

func TestWindowAcrossALongGap(t *testing.T) {
	var w window
	w.add16(10)
	w.add16(10 + 3*windowSize)
	if w.lost() != 3*windowSize-1 || !w.add16(10+3*windowSize-1) || w.add16(11) || w.again != 1 {
		t.Errorf("%+v", w)
	}
	var empty window
	if empty.lost() != 0 {
		t.Error("an empty window has lost something")
	}
}

// A measurement begins behind the newest number: what comes late from before it is nobody's.
func TestWindowRestarts(t *testing.T) {
	var w window
	w.restart() // of nothing
	for _, n := range []uint16{100, 101, 104} {
		w.add16(n)
	}
	if w.gaps != 2 || w.lost() != 2 {
		t.Errorf("%+v", w)
	}
	w.restart()
	for _, n := range []uint16{102, 102, 104} {
		if w.add16(n) || w.lost() != 0 || w.got != 0 {
			t.Errorf("%d, a packet from before, counts: %+v", n, w)
		}
	}
	if w.add16(106); w.lost() != 1 || w.gaps != 1 || w.got != 1 {
		t.Errorf("%+v", w)
	}
	if !w.add16(105) || w.lost() != 0 || w.gaps != 1 || w.got != 2 {
		t.Errorf("after the repair: %+v", w)
	}
}

// sender makes packets as they arrive, one frame of VP8 after the other.
type sender struct {
	t      *testing.T
	source *synth.Source
}

func newSender(t *testing.T, cfg synth.Config) *sender {
	t.Helper()
	source, err := synth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &sender{t, source}
}

func (s *sender) frame() []rtp.Packet {
	var out []rtp.Packet
	for _, p := range s.source.Next() {
		p.SSRC = 7
		p.Payload = append([]byte(nil), p.Payload...)
		out = append(out, p)
	}
	return out
}

func at(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }

func TestKeyFrameIsThereWhenWhole(t *testing.T) {
	const vp8 = string(synth.VP8)
	s := newSender(t, synth.Config{Codec: synth.VP8, Packets: 3})
	track := New("alice", "video0", "video")

	broken := s.frame() // the first is a key frame; its middle is lost
	track.Observe(&broken[0], vp8, false, at(0))
	track.Observe(&broken[2], vp8, false, at(1))
	for _, p := range s.frame() {
		track.Observe(&p, vp8, false, at(33))
	}
	if st := track.Stats(); !st.KeyAt.IsZero() || st.Lost != 1 || !st.FirstAt.Equal(at(0)) {
		t.Errorf("half a key frame counts: %+v", st)
	}
	s.source.RequestKey()
	for i, p := range s.frame() {
		track.Observe(&p, vp8, i == 1, at(66+i))
	}
	st := track.Stats()
	if !st.KeyAt.Equal(at(68)) || st.Repaired != 1 || st.Packets != 8 || st.Codec != vp8 || !st.LastAt.Equal(at(68)) || st.SSRC != 7 {
		t.Errorf("%+v", st)
	}
	track.Observe(&broken[1], vp8, true, at(70))
	track.Observe(&broken[1], vp8, true, at(71))
	if st := track.Stats(); st.Lost != 0 || st.Duplicates != 1 || st.Repaired != 2 || st.Backwards != 0 {
		t.Errorf("after the repair: %+v", st)
	}

	audio := New("alice", "audio0", "audio")
	audio.Observe(&rtp.Packet{Header: rtp.Header{SequenceNumber: 5}, Payload: []byte{1}}, "audio/opus", false, at(5))
	if st := audio.Stats(); !st.KeyAt.Equal(at(5)) || st.Stamped != 0 {
		t.Errorf("audio: %+v", st)
	}
}

func TestSSRCAndTimestampChanges(t *testing.T) {
	track := New("alice", "video0", "video")
	send := func(ssrc uint32, seq uint16, ts uint32) {
		track.Observe(&rtp.Packet{Header: rtp.Header{SSRC: ssrc, SequenceNumber: seq, Timestamp: ts}, Payload: []byte{0}}, "", false, at(0))
	}
	send(1, 65535, 100)
	send(1, 0, 200)
	send(1, 2, 150) // not in sequence: nothing to say about its timestamp
	send(1, 3, 140) // back in time
	send(2, 900, 5) // another SSRC begins anew
	send(2, 902, 6)
	if st := track.Stats(); st.SSRCs != 2 || st.Lost != 2 || st.Backwards != 1 || st.SSRC != 2 || st.LastSeq != 902 || st.Timestamp != 6 {
		t.Errorf("%+v", st)
	}
}

// TestStamps checks loss and latency by what a real source says.
func TestStamps(t *testing.T) {
	s, other := newSender(t, synth.Config{Codec: synth.Opus}), newSender(t, synth.Config{Codec: synth.Opus})
	track := New("alice", "audio0", "audio")
	begin := time.Now()
	write := func(from *sender, keep func(i int) bool) {
		n := 0
		stop := false
		err := from.source.Run(t.Context(), func(p *rtp.Packet) error {
			if stop = n == 4; stop {
				return errStop
			}
			if keep(n) {
				p.SSRC = from.source.Stream()
				track.Observe(p, "audio/opus", false, time.Now().Add(30*time.Millisecond))
			}
			n++
			return nil
		})
		if err != errStop { //nolint:errorlint // it is handed through
			t.Fatal(err)
		}
	}
	write(s, func(i int) bool { return i != 2 })
	st := track.Stats()
	if st.Missing != 1 || st.Stamped != 3 || st.Streams != 1 || st.Stream != s.source.Stream() {
		t.Errorf("%+v", st)
	}
	// FirstAt lies 30 ms ahead, so the second packet, 20 ms after the first, is older than the first arrival and does not count.
	if n, p50 := st.Latency.Count(), st.Latency.Quantile(0.5); n != 1 || p50 < 28*time.Millisecond || p50 > time.Since(begin)+30*time.Millisecond {
		t.Errorf("latency of %d packets: %v", n, p50)
	}
	write(other, func(int) bool { return true })
	if st := track.Stats(); st.Streams != 2 || st.Missing != 1 || st.Stream != other.source.Stream() {
		t.Errorf("after the source has changed: %+v", st)
	}

	first := track.Stats().FirstAt
	track.Assign("3", true)
	track.Reset()
	if st := track.Stats(); st.Packets != 0 || st.Missing != 0 || st.Lost != 0 || st.Latency.Count() != 0 || !st.FirstAt.Equal(first) || !st.Active || st.Mid != "3" {
		t.Errorf("after Reset: %+v", st)
	}
	track.Assign("", false)
	if st := track.Stats(); st.Active || st.Mid != "3" {
		t.Errorf("after its section was given away: %+v", st)
	}
}

var errStop = &stopError{}

type stopError struct{}

func (*stopError) Error() string { return "stop" }

func BenchmarkObserve(b *testing.B) {
	source, err := synth.New(synth.Config{Codec: synth.VP8})
	if err != nil {
		b.Fatal(err)
	}
	frame := source.Next()
	track := New("alice", "video0", "video")
	now := time.Now()
	b.ReportAllocs()
	b.SetBytes(int64(len(frame[0].Payload)))
	for i := 0; b.Loop(); i++ {
		p := &frame[i%len(frame)]
		p.SequenceNumber = uint16(i)
		track.Observe(p, string(synth.VP8), false, now)
	}
}
