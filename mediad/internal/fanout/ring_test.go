package fanout

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"weever/mediad/internal/fanout/codec"
)

// packetAt makes a packet whose payload can be told from its index.
func packetAt(index uint64, ts uint32, size int, key bool) *Packet {
	payload := vp8(key, true, uint32(index), size)
	return &Packet{Index: index, Seq: uint16(index), Timestamp: ts, Payload: payload, Desc: codec.VP8.Read(payload), Marker: index%3 == 0, HasLevel: true, Level: uint8(index)}
}

// put does what a Stream does: it respects the ring's limits.
func (r *ring) offer(p *Packet) bool {
	if !r.reaches(p.Index) || r.holds(p.Index) {
		return false
	}
	r.put(p)
	return true
}

func TestRingReturnsWhatWasPut(t *testing.T) {
	r := newRing(90000)
	for i := uint64(65536); i < 66536; i++ {
		r.offer(packetAt(i, uint32(i)*500, 900, false))
	}
	var p Packet
	prefix := []byte("OS")
	buf, ok := r.get(66000, &p, prefix)
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
	if _, ok := r.get(66536, &p, nil); ok {
		t.Error("a packet that never came is held")
	}
	if _, ok := r.get(0, &p, nil); ok {
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
			r := newRing(tc.clock)
			last := uint64(70000 + 20*tc.perSecond)
			for i := uint64(70000); i <= last; i++ {
				r.offer(packetAt(i, uint32((i-70000)*uint64(tc.clock)/uint64(tc.perSecond)), tc.size, false))
			}
			for i := last - uint64(tc.least) + 1; i <= last; i++ {
				if !r.holds(i) {
					t.Fatalf("packet %d of the last %d is gone", last-i, tc.least)
				}
			}
			if got := r.memory(); got > tc.maxMemory {
				t.Errorf("%d bytes, want at most %d", got, tc.maxMemory)
			}
		})
	}
}

// TestRingAgainstModel feeds loss, reordering and jumps, and checks after every packet that what the ring holds is what was put.
func TestRingAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := newRing(90000)
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
				if _, ok := r.get(i, &got, nil); ok && !bytes.Equal(got.Payload, put[i]) {
					t.Fatalf("seed %d: packet %d is not what was put", seed, i)
				}
			}
			if i, ok := r.get(r.newest, &got, nil); !ok || len(i) == 0 {
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
			r := newRing(90000)
			for _, s := range tc.steps {
				r.offer(packetAt(s.index, s.ts, 100, s.key))
			}
			if got, ok := r.cached(); got != tc.want || ok != (tc.want != 0) {
				t.Errorf("cached = %d, %v, want %d", got, ok, tc.want)
			}
		})
	}
}

// TestRingCachedTooBig: what does not fit into maxBytes cannot be replayed.
func TestRingCachedTooBig(t *testing.T) {
	r := newRing(90000)
	r.offer(packetAt(65536, 0, 1200, true))
	n := uint64(0)
	for i := uint64(65537); ; i++ {
		r.offer(packetAt(i, uint32(i-65536), 1200, false))
		if _, ok := r.cached(); !ok {
			n = i - 65536
			break
		}
	}
	if got := n * 1200; got < maxBytes*9/10 || got > maxBytes {
		t.Errorf("the key frame was lost after %d bytes, want about %d", got, maxBytes)
	}
}

func TestRingDoesNotAllocate(t *testing.T) {
	r := newRing(90000)
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
