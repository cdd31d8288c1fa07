package history

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"weever/mediad/internal/fanout/codec"
)

// vp8 returns a payload of size bytes that begins, or continues, a key or delta frame, and whose last bytes name it.
func vp8(key, start bool, name uint32, size int) []byte {
	b := make([]byte, max(size, 16))
	b[0] = 0x80
	if start {
		b[0] = 0x90
	}
	b[1] = 0x80
	binary.BigEndian.PutUint16(b[2:], 0x8000|uint16(name)&0x7fff)
	b[4] = 1 // delta
	if key {
		copy(b[4:], []byte{0, 0, 0, 0x9d, 0x01, 0x2a})
	}
	binary.BigEndian.PutUint32(b[len(b)-4:], name)
	return b
}

// packetAt makes a packet whose payload can be told from its index.
func packetAt(index uint64, ts uint32, size int, key bool) *Packet {
	payload := vp8(key, true, uint32(index), size)
	return &Packet{Index: index, Seq: uint16(index), Timestamp: ts, Payload: payload, Desc: codec.VP8.Read(payload), Marker: index%3 == 0, HasLevel: true, Level: uint8(index)}
}

// offer does what a stream does: it respects the ring's limits.
func (r *Ring) offer(p *Packet) bool {
	if !r.reaches(p.Index) || r.holds(p.Index) {
		return false
	}
	r.Put(p)
	return true
}

func TestRingReturnsWhatWasPut(t *testing.T) {
	r := New(90000)
	for i := uint64(65536); i < 66536; i++ {
		r.offer(packetAt(i, uint32(i)*500, 900, false))
	}
	var p Packet
	prefix := []byte("OS")
	buf, ok := r.Get(66000, &p, prefix)
	if !ok {
		t.Fatal("packet 66000 is gone")
	}
	want := packetAt(66000, 66000*500, 900, false)
	if p.Seq != 464 || p.Timestamp != want.Timestamp || p.Marker != want.Marker || !bytes.Equal(p.Payload, want.Payload) || p.Level != want.Level || !p.HasLevel || p.HasOrientation || p.Index != 66000 || p.Desc != want.Desc {
		t.Errorf("got %+v", p)
	}
	if !bytes.Equal(buf, append([]byte("OS"), want.Payload...)) {
		t.Error("the payload was not put behind what the buffer held")
	}
	if _, ok := r.Get(66536, &p, nil); ok {
		t.Error("a packet that never came is held")
	}
	if _, ok := r.Get(0, &p, nil); ok {
		t.Error("index 0 is held")
	}
}

// TestRingMemoryFollowsBitRate: four seconds are kept, with not much more memory than they need, up to the limits.
func TestRingMemoryFollowsBitRate(t *testing.T) {
	for _, tc := range []struct {
		name             string
		perSecond, size  int
		clock            uint32
		least, maxMemory int // packets held; bytes
	}{
		{"voice 48 kbit/s", 50, 120, 48000, 200, 64 << 10},
		{"low layer 150 kbit/s", 30, 625, 90000, 120, 256 << 10},
		{"video 2 Mbit/s", 210, 1200, 90000, 840, 1<<21 + 128<<10},
		{"video 20 Mbit/s", 2100, 1200, 90000, 1600, maxBytes + 512<<10}, // the limit of bytes
		{"tiny packets", 5000, 20, 90000, 4096, maxBytes},                // the limit of slots
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := New(tc.clock)
			last := uint64(70000 + 20*tc.perSecond)
			for i := uint64(70000); i <= last; i++ {
				r.offer(packetAt(i, uint32((i-70000)*uint64(tc.clock)/uint64(tc.perSecond)), tc.size, false))
			}
			for i := last - uint64(tc.least) + 1; i <= last; i++ {
				if !r.holds(i) {
					t.Fatalf("packet %d of the last %d is gone", last-i, tc.least)
				}
			}
			if got := r.Memory(); got > tc.maxMemory {
				t.Errorf("%d bytes, want at most %d", got, tc.maxMemory)
			}
		})
	}
}

// TestRingAgainstModel feeds loss, reordering and jumps, and checks after every packet that what the ring holds is what was put.
func TestRingAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := New(90000)
		put := make(map[uint64][]byte)
		next, ts := uint64(65536+rnd.IntN(65536)), rnd.Uint32()
		var late []*Packet
		for range 6000 {
			p := packetAt(next, ts, 16+rnd.IntN(1400), rnd.IntN(200) == 0)
			next++
			switch rnd.IntN(20) {
			case 0: // lost
				continue
			case 1:
				late = append(late, p)
				continue
			case 2:
				next += uint64(rnd.IntN(300))
			case 3:
				ts += uint32(rnd.IntN(1 << 20))
			}
			ts += uint32(rnd.IntN(3000))
			for _, p := range append(late, p) {
				if r.offer(p) {
					put[p.Index] = p.Payload
				}
			}
			if len(late) > 3 {
				late = late[:0]
			}
			var got Packet
			for range 10 {
				i := r.newest - uint64(rnd.IntN(5000))
				if _, ok := r.Get(i, &got, nil); ok && !bytes.Equal(got.Payload, put[i]) {
					t.Fatalf("seed %d: packet %d is not what was put", seed, i)
				}
			}
			if i, ok := r.Get(r.newest, &got, nil); !ok || len(i) == 0 {
				t.Fatalf("seed %d: the newest packet is gone", seed)
			}
			if binary.BigEndian.Uint32(got.Payload[len(got.Payload)-4:]) != uint32(r.newest) {
				t.Fatalf("seed %d: the newest packet is another", seed)
			}
		}
	}
}

func TestRingCached(t *testing.T) {
	type step struct {
		index uint64
		ts    uint32
		key   bool
	}
	const b = 65536
	for _, tc := range []struct {
		name  string
		steps []step
		want  uint64 // 0: nothing
	}{
		{"empty", nil, 0},
		{"no key frame", []step{{b, 0, false}, {b + 1, 3000, false}}, 0},
		{"from the key frame on", []step{{b, 0, false}, {b + 1, 3000, true}, {b + 2, 6000, false}}, b + 1},
		{"the newest of two", []step{{b, 0, true}, {b + 1, 3000, false}, {b + 2, 6000, true}}, b + 2},
		{"parameter sets and picture are one", []step{{b, 0, true}, {b + 1, 0, true}, {b + 2, 3000, false}}, b},
		{"parameter sets that come late", []step{{b + 1, 0, true}, {b, 0, true}, {b + 2, 3000, false}}, b},
		{"an old key frame that comes late", []step{{b + 2, 6000, true}, {b, 0, true}, {b + 1, 3000, false}}, b + 2},
		{"a hole", []step{{b, 0, true}, {b + 2, 3000, false}}, 0},
		{"a hole that was filled", []step{{b, 0, true}, {b + 2, 3000, false}, {b + 1, 0, false}}, b},
		{"just young enough", []step{{b, 0, true}, {b + 1, 4*90000 - 1, false}}, b},
		{"too old", []step{{b, 0, true}, {b + 1, 4 * 90000, false}}, 0},
		{"timestamps that wrap", []step{{b, 1<<32 - 1000, true}, {b + 1, 2000, false}}, b},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := New(90000)
			for _, s := range tc.steps {
				r.offer(packetAt(s.index, s.ts, 100, s.key))
			}
			if got, ok := r.Cached(); got != tc.want || ok != (tc.want != 0) {
				t.Errorf("Cached = %d, %v, want %d", got, ok, tc.want)
			}
		})
	}
}

// TestRingCachedTooBig: what does not fit into maxBytes cannot be replayed.
func TestRingCachedTooBig(t *testing.T) {
	r := New(90000)
	r.offer(packetAt(65536, 0, 1200, true))
	n := uint64(0)
	for i := uint64(65537); ; i++ {
		r.offer(packetAt(i, uint32(i-65536), 1200, false))
		if _, ok := r.Cached(); !ok {
			n = i - 65536
			break
		}
	}
	if got := n * 1200; got < maxBytes*9/10 || got > maxBytes {
		t.Errorf("the key frame was lost after %d bytes, want about %d", got, maxBytes)
	}
}

func TestRingDoesNotAllocate(t *testing.T) {
	r := New(90000)
	p := packetAt(65536, 0, 1200, false)
	put := func() {
		p.Index++
		p.Timestamp += 500
		r.offer(p)
	}
	for range 3000 {
		put()
	}
	if n := testing.AllocsPerRun(2000, put); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

// TestArrivals: in the order in which packets came, in pieces; what is lost is passed over up to the next frame.
func TestArrivals(t *testing.T) {
	const b = 65536
	r := New(90000)
	for _, i := range []uint64{b, b + 2, b + 1, b + 3} {
		r.offer(packetAt(i, 0, 100, false))
	}
	burst, dst := make([]Packet, 0, 3), []byte("OS")
	read := func(n uint64) (indexes []uint64, from uint64) {
		var buf []byte
		burst, buf, from = r.Arrivals(n, burst[:0], dst)
		for _, p := range burst {
			indexes = append(indexes, p.Index)
			if !bytes.Equal(p.Payload, packetAt(p.Index, 0, len(p.Payload), false).Payload) {
				t.Errorf("packet %d has another payload", p.Index)
			}
		}
		if !bytes.HasPrefix(buf, dst) {
			t.Error("the payloads were not put behind what the buffer held")
		}
		return indexes, from
	}
	if got, from := read(0); !slices.Equal(got, []uint64{b, b + 2, b + 1}) || from != 0 {
		t.Errorf("first piece %v from %d", got, from)
	}
	if got, from := read(3); !slices.Equal(got, []uint64{b + 3}) || from != 3 {
		t.Errorf("second piece %v from %d", got, from)
	}
	if got, from := read(r.Arrived()); got != nil || from != 4 {
		t.Errorf("at the end %v from %d", got, from)
	}
	for i := uint64(b + 4); i < b+5000; i++ {
		r.offer(packetAt(i, uint32(i/5), 1200, false))
	}
	got, from := read(4)
	if len(got) != 3 || got[0]%5 != 0 || got[0] != b+from {
		t.Errorf("after a loss: %v from %d", got, from)
	}
}

// TestNumber: what is far behind is late once, and the second in a row begins a new count.
func TestNumber(t *testing.T) {
	r := New(90000)
	if got, ok := r.Number(5000); got != 65536+5000 || !ok {
		t.Errorf("the first: %d, %v", got, ok)
	}
	r.offer(packetAt(65536+5000, 0, 100, false))
	for _, tc := range []struct {
		seq  uint16
		want uint64 // 0: late
	}{
		{5001, 65536 + 5001},
		{4999, 65536 + 4999},
		{5001 + 1<<14, 65536 + 5001 + 1<<14},
		{100, 0},
		{102, 0},
		{103, 2*65536 + 103},
		{4600, 0}, // not far enough for a new sender
		{4601, 0},
	} {
		if got, ok := r.Number(tc.seq); got != tc.want || ok != (tc.want != 0) {
			t.Errorf("%d: %d, %v, want %d", tc.seq, got, ok, tc.want)
		}
	}
}
