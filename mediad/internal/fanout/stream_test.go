package fanout

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/fanout/headerext"
	"weever/mediad/internal/udpio"
)

func TestNewStream(t *testing.T) {
	for _, tc := range []struct {
		cfg  StreamConfig
		want string // part of the error; "": none
	}{
		{StreamConfig{Codec: "video/VP8", Clock: 90000}, ""},
		{StreamConfig{Codec: "video/H266", Clock: 90000}, ""},
		{StreamConfig{Codec: "audio/PCMU", Clock: 8000}, ""},
		{StreamConfig{Codec: "VP8", Clock: 90000}, "neither audio nor video"},
		{StreamConfig{Codec: "video/VP8"}, "clock rate"},
		{StreamConfig{Codec: "video/VP8", Clock: 1 << 31}, "clock rate"},
	} {
		s, err := NewStream(tc.cfg)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", tc.cfg, err, tc.want)
		}
		if s != nil {
			s.Close()
		}
	}
}

func TestParse(t *testing.T) {
	payload := vp8(true, true, 1, 100)
	plain := raw(t, rtp.Header{SequenceNumber: 7, Timestamp: 9, Marker: true, PayloadType: 96, SSRC: 5}, payload)
	with := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(plain)) }
	extended := func(profile uint16, ext ...byte) []byte {
		b := bytes.Clone(plain[:12])
		b[0] |= 0x10
		b = binary.BigEndian.AppendUint16(b, profile)
		b = binary.BigEndian.AppendUint16(b, uint16(len(ext)/4))
		return append(append(b, ext...), payload...)
	}
	ids := headerext.IDs{Level: 1, Orientation: 13}
	for _, tc := range []struct {
		name string
		raw  []byte
		err  error
		want Packet
	}{
		{"plain", plain, nil, Packet{Payload: payload}},
		{"CSRCs are skipped", raw(t, rtp.Header{SequenceNumber: 7, Timestamp: 9, Marker: true, PayloadType: 96, CSRC: []uint32{1, 2, 3}}, payload), nil, Packet{Payload: payload}},
		{"padding is cut off", with(func(b []byte) []byte { b[0] |= 0x20; return append(b, 0, 0, 3) }), nil, Packet{Payload: payload}},
		{"nothing but padding", with(func(b []byte) []byte { b[0] |= 0x20; return append(b[:12], 0, 0, 3) }), nil, Packet{}},
		{"one-byte extensions", extended(0xbede, 0x10, 0xaa, 0x30, 0x55, 0xd0, 0x03, 0, 0), nil, Packet{Payload: payload, HasLevel: true, Level: 0xaa, HasOrientation: true, Orientation: 3}},
		{"two-byte extensions", extended(0x1000, 1, 1, 0xaa, 7, 0, 0, 13, 1, 3, 0, 0, 0), nil, Packet{Payload: payload, HasLevel: true, Level: 0xaa, HasOrientation: true, Orientation: 3}},
		{"an empty extension is none", extended(0x1000, 1, 0, 0, 0), nil, Packet{Payload: payload}},
		{"an extension of another profile", extended(0xc0de, 0x10, 0xaa, 0, 0), nil, Packet{Payload: payload}},
		{"empty", nil, ErrMalformed, Packet{}},
		{"eleven bytes", plain[:11], ErrMalformed, Packet{}},
		{"version 1", with(func(b []byte) []byte { b[0] = 0x40; return b }), ErrMalformed, Packet{}},
		{"CSRCs cut short", []byte{0x8f, 96, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 1, 2, 3, 4}, ErrMalformed, Packet{}},
		{"extension header cut short", append(with(func(b []byte) []byte { b[0] |= 0x10; return b[:12] }), 0xbe, 0xde), ErrMalformed, Packet{}},
		{"extension longer than the packet", with(func(b []byte) []byte { b[0] |= 0x10; copy(b[12:], []byte{0xbe, 0xde, 0xff, 0xff}); return b }), ErrMalformed, Packet{}},
		{"element longer than the extension", extended(0xbede, 0x1f, 1, 2, 3), ErrMalformed, Packet{}},
		{"padding of no bytes", with(func(b []byte) []byte { b[0] |= 0x20; return append(b, 0) }), ErrMalformed, Packet{}},
		{"more padding than payload", with(func(b []byte) []byte { b[0] |= 0x20; return append(b[:20], 200) }), ErrMalformed, Packet{}},
		{"padding without a byte for it", with(func(b []byte) []byte { b[0] |= 0x20; return b[:12] }), ErrMalformed, Packet{}},
		{"too long", append(bytes.Clone(plain), make([]byte, MaxPacket)...), ErrOversized, Packet{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := Parse(&rtp.Header{}, tc.raw, ids)
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if err != nil {
				return
			}
			if p.Seq != 7 || p.Timestamp != 9 || !p.Marker || !bytes.Equal(p.Payload, tc.want.Payload) || p.HasLevel != tc.want.HasLevel ||
				p.Level != tc.want.Level || p.HasOrientation != tc.want.HasOrientation || p.Orientation != tc.want.Orientation {
				t.Errorf("got %+v, want %+v", p, tc.want)
			}
		})
	}
}

// TestNumbering feeds sequence numbers and checks which come through, and as which indexes.
func TestNumbering(t *testing.T) {
	const b = 65536
	for _, tc := range []struct {
		name  string
		seqs  []uint16
		want  []uint64
		drops map[drop.Reason]uint64
	}{
		{"in order", []uint16{5, 6, 7}, []uint64{b + 5, b + 6, b + 7}, nil},
		{"over the wrap", []uint16{65534, 65535, 0, 1}, []uint64{b + 65534, b + 65535, 2 * b, 2*b + 1}, nil},
		{"before the first", []uint16{3, 65535}, []uint64{b + 3, b - 1}, nil},
		{"reordered over the wrap", []uint16{65535, 1, 0, 2}, []uint64{b + 65535, 2*b + 1, 2 * b, 2*b + 2}, nil},
		{"twice", []uint16{5, 6, 5, 6}, []uint64{b + 5, b + 6}, map[drop.Reason]uint64{drop.Duplicate: 2}},
		{"too late", []uint16{1000, 700, 1001}, []uint64{b + 1000, b + 1001}, map[drop.Reason]uint64{drop.Late: 1}},
		{"two too late in a row, not far", []uint16{1000, 700, 701, 1001}, []uint64{b + 1000, b + 1001}, map[drop.Reason]uint64{drop.Late: 2}},
		{"one stray", []uint16{10000, 3, 10001}, []uint64{b + 10000, b + 10001}, map[drop.Reason]uint64{drop.Late: 1}},
		{"strays that do not follow", []uint16{10000, 3, 9, 10001}, []uint64{b + 10000, b + 10001}, map[drop.Reason]uint64{drop.Late: 2}},
		{"begun anew", []uint16{10000, 3, 4, 5}, []uint64{b + 10000, 2*b + 4, 2*b + 5}, map[drop.Reason]uint64{drop.Late: 1}},
		{"a jump", []uint16{5, 30000, 30001}, []uint64{b + 5, b + 30000, b + 30001}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newTestStream(t, StreamConfig{Codec: "audio/opus", Clock: 48000})
			var sink recorder
			s.AttachLive(&sink)
			for _, seq := range tc.seqs {
				if err := write(s, raw(t, rtp.Header{SequenceNumber: seq}, []byte{1, 2}), headerext.IDs{}); err != nil {
					t.Fatal(err)
				}
			}
			var indexes []uint64
			for _, p := range sink.all() {
				indexes = append(indexes, p.Index)
			}
			if !slices.Equal(indexes, tc.want) {
				t.Errorf("indexes %v, want %v", indexes, tc.want)
			}
			st := s.Stats()
			for reason, n := range tc.drops {
				if st.Drops[reason] != n {
					t.Errorf("%d drops for %v, want %d", st.Drops[reason], reason, n)
				}
			}
			if st.Packets != uint64(len(tc.want)) || st.Bytes != 2*uint64(len(tc.want)) {
				t.Errorf("counted %d packets of %d bytes", st.Packets, st.Bytes)
			}
		})
	}
}

func TestSinksComeAndGo(t *testing.T) {
	s := newTestStream(t, StreamConfig{})
	var a, b recorder
	e := &encoder{tb: t, stream: s, seq: 100}
	detachA := s.AttachLive(&a)
	e.frame(true, 2, 200)
	detachB := s.AttachLive(&b)
	e.frame(false, 1, 200)
	detachA()
	detachA()
	e.frame(false, 1, 200)
	if n := s.Stats().Sinks; n != 1 {
		t.Errorf("%d sinks, want 1", n)
	}
	detachB()
	e.frame(false, 1, 200)
	s.Close()
	e.frame(false, 1, 200)
	s.AttachLive(&a)
	s.Close()
	if got := seqs(a.all()); !slices.Equal(got, span(100, 102)) {
		t.Errorf("a got %v", got)
	}
	if got := seqs(b.all()); !slices.Equal(got, span(102, 103)) {
		t.Errorf("b got %v", got)
	}
	if st := s.Stats(); st.Drops[drop.Closed] != 1 || st.Sinks != 0 {
		t.Errorf("after Close: %+v", st)
	}
}

func TestBurstStaysTogether(t *testing.T) {
	s := newTestStream(t, StreamConfig{})
	var sink recorder
	s.AttachLive(&sink)
	var burst []Packet
	for i := range uint16(6) {
		burst = append(burst, Packet{Seq: i, Timestamp: 1, Payload: vp8(i == 0, i == 0, uint32(i), 50)})
	}
	burst[3].Seq = 1                             // a duplicate in the middle
	burst[4].Payload = make([]byte, MaxPacket+1) // and one too long
	s.WritePackets(burst)
	if got := seqs(sink.all()); !slices.Equal(got, []uint16{0, 1, 2, 5}) || sink.bursts != 1 {
		t.Errorf("got %v in %d bursts, want 0 1 2 5 in one", got, sink.bursts)
	}
}

func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStream(t, StreamConfig{})
		var sink recorder
		s.AttachLive(&sink)
		if _, ok := s.Report(); ok {
			t.Error("a report before the first")
		}
		r := SenderReport{NTP: 5<<32 + 1<<31, RTP: 1<<32 - 1000}
		s.WriteReport(r)
		<-time.After(2500 * time.Millisecond)
		if got, ok := s.Report(); !ok || got.NTP != 8<<32 || got.RTP != 2500*90-1000 {
			t.Errorf("2.5 s later: %+v, %v", got, ok)
		}
		if !slices.Equal(sink.reports, []SenderReport{r}) {
			t.Errorf("the sink got %v", sink.reports)
		}
		s.Close()
		s.WriteReport(r)
		if len(sink.reports) != 1 {
			t.Error("a closed stream passed on a report")
		}
	})
}

func TestLookup(t *testing.T) {
	s := newTestStream(t, StreamConfig{})
	e := &encoder{tb: t, stream: s, seq: 65530}
	e.frame(true, 10, 300)
	var p Packet
	buf, ok := s.Lookup(2*65536+2, &p, []byte{0xaa})
	if !ok || p.Seq != 2 || !bytes.Equal(p.Payload, vp8(true, false, 2, 300)) || buf[0] != 0xaa || len(buf) != 301 {
		t.Errorf("got %+v, %v", p, ok)
	}
	if _, ok := s.Lookup(2*65536+4, &p, nil); ok {
		t.Error("found a packet that never came")
	}
}

func TestWishesAreForVideo(t *testing.T) {
	for codec, want := range map[string]uint64{"video/VP8": 1, "audio/opus": 0} {
		s := newTestStream(t, StreamConfig{Codec: codec, Clock: 90000, KeyframeWish: func() {}})
		s.RequestKeyframe()
		if got := s.Stats().Wishes; got != want {
			t.Errorf("%s: %d wishes, want %d", codec, got, want)
		}
	}
}

// TestKeyframeGrantsWishes: a wish that waits for the end of its window is dropped when a key frame begins.
func TestKeyframeGrantsWishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStream(t, StreamConfig{Codec: "video/VP8", Clock: 90000, KeyframeWish: func() {}})
		e := &encoder{tb: t, stream: s}
		s.RequestKeyframe()
		s.RequestKeyframe()
		e.frame(true, 2, 100)
		<-time.After(time.Second)
		if got := s.Stats().Wishes; got != 1 {
			t.Errorf("%d wishes, want 1", got)
		}
		if !s.HasKeyframes() {
			t.Error("the key frame was not noticed")
		}
		s.Close()
	})
}

// How loud a stream is follows the levels of its packets, of whatever way they came; a packet counts once.
func TestLevel(t *testing.T) {
	s := newTestStream(t, StreamConfig{Codec: "audio/opus", Clock: 48000})
	if got := s.Level(); got != 127 {
		t.Errorf("before the first packet: %d", got)
	}
	var h rtp.Header
	_ = h.SetExtension(1, []byte{0x80 | 30})
	for seq := range uint16(20) {
		h.SequenceNumber = seq
		if err := write(s, raw(t, h, []byte{1, 2}), headerext.IDs{Level: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Level(); got < 28 || got > 32 {
		t.Errorf("of packets that say 30: %d", got)
	}
	for range 100 {
		h.SequenceNumber++
		s.WritePackets([]Packet{{Seq: 5, HasLevel: true, Level: 127}, {Seq: h.SequenceNumber, Payload: []byte{1}}})
	}
	if got := s.Level(); got < 28 || got > 32 {
		t.Errorf("after duplicates, and packets without level: %d", got)
	}
}

func TestStreamDoesNotAllocate(t *testing.T) {
	s := newTestStream(t, StreamConfig{})
	s.AttachLive(discard{})
	h := rtp.Header{PayloadType: 96}
	_ = h.SetExtension(1, []byte{30})
	b := raw(t, h, vp8(false, true, 1, 1100))
	seq := uint16(0)
	var in entrance
	next := func() {
		seq++
		binary.BigEndian.PutUint16(b[2:], seq)
		binary.BigEndian.PutUint32(b[4:], uint32(seq)*500)
		if err := in.write(s, b, headerext.IDs{Level: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3000 {
		next()
	}
	if n := testing.AllocsPerRun(1000, next); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

type discard struct{}

func (discard) WritePackets(*udpio.Batch, []Packet)    {}
func (discard) WriteReport(*udpio.Batch, SenderReport) {}

// FuzzParse: whatever arrives, what comes out is within bounds and the same as what pion reads.
func FuzzParse(f *testing.F) {
	f.Add(raw(f, rtp.Header{SequenceNumber: 7, Timestamp: 9, Marker: true, PayloadType: 96}, vp8(true, true, 1, 60)))
	h := rtp.Header{SequenceNumber: 8, CSRC: []uint32{1, 2}}
	_ = h.SetExtension(1, []byte{0x7f})
	_ = h.SetExtension(2, []byte{0x03})
	f.Add(raw(f, h, vp8(false, true, 1, 60)))
	f.Add([]byte{0xb0, 96, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 0x10, 0, 0, 1, 1, 1, 0xaa, 0, 5, 5, 0, 0, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := NewStream(StreamConfig{Codec: "video/VP8", Clock: 90000})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var sink recorder
		s.AttachLive(&sink)
		before := bytes.Clone(b)
		err = write(s, b, headerext.IDs{Level: 1, Orientation: 2})
		if !bytes.Equal(before, b) {
			t.Fatal("the caller's buffer was changed")
		}
		all := sink.all()
		if (err == nil) != (len(all) == 1) {
			t.Fatalf("error %v, but %d packets", err, len(all))
		}
		if err != nil {
			return
		}
		var want rtp.Packet
		if err := want.Unmarshal(b); err != nil {
			t.Fatalf("taken, though pion says %v", err)
		}
		if p := all[0]; p.Seq != want.SequenceNumber || p.Timestamp != want.Timestamp || p.Marker != want.Marker || !bytes.Equal(p.Payload, want.Payload) {
			t.Fatalf("got %+v, want %+v", p, want)
		}
		var p Packet
		if _, ok := s.Lookup(all[0].Index, &p, nil); !ok || !bytes.Equal(p.Payload, want.Payload) {
			t.Fatal("the history has another packet")
		}
	})
}

func BenchmarkStream(b *testing.B) {
	for _, sinks := range []int{0, 50} {
		b.Run(fmt.Sprintf("%d sinks", sinks), func(b *testing.B) {
			s := newTestStream(b, StreamConfig{})
			for range sinks {
				s.AttachLive(discard{})
			}
			p := raw(b, rtp.Header{PayloadType: 96}, vp8(false, true, 1, 1100))
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			var in entrance
			for seq := 0; b.Loop(); seq++ {
				binary.BigEndian.PutUint16(p[2:], uint16(seq))
				binary.BigEndian.PutUint32(p[4:], uint32(seq)*500)
				if err := in.write(s, p, headerext.IDs{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
