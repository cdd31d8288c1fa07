package batch

import (
	"testing"

	"weever/mediad/internal/fanout"
)

func video(tb testing.TB) *fanout.Stream {
	tb.Helper()
	s, err := fanout.NewStream(fanout.StreamConfig{Codec: "video/VP8", Clock: 90000})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// keyframe is the first packet of a key frame of VP8, delta one of another frame.
var (
	keyframe = []byte{0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0, 0, 0, 0}
	delta    = []byte{0x10, 1, 0, 0}
)

// TestPast: pieces of bounded size, one after the other, are the whole; after the last there is no more.
func TestPast(t *testing.T) {
	from, to := video(t), video(t)
	if _, _, more := SplitPast(Past(from, 0, 1<<20)); more {
		t.Error("a stream without packets has a past")
	}
	for seq := range uint16(500) {
		payload := delta
		if seq == 0 {
			payload = keyframe
		}
		from.WritePackets([]fanout.Packet{{Seq: seq, Timestamp: uint32(seq) * 100, Payload: payload}})
	}
	count := new(Counters)
	r := NewReceiver(to, count)
	cursor, pieces := fanout.Cursor(0), 0
	for limit := 26 << 10; ; pieces++ {
		piece := Past(from, cursor, limit)
		next, msg, more := SplitPast(piece)
		if !more {
			break
		}
		if len(piece) > limit || next <= cursor || !r.Past(msg) {
			t.Fatalf("%d bytes, from %d to %d", len(piece), cursor, next)
		}
		cursor = next
	}
	if st := to.Stats(); st.Packets != 500 || pieces < 2 {
		t.Errorf("%d packets in %d pieces", st.Packets, pieces)
	}
	if st := count.Read(); st.MessagesIn != 0 || st.PacketsIn != 0 {
		t.Errorf("the past counts as traffic: %+v", st)
	}
}

// FuzzPast: another node may answer anything.
func FuzzPast(f *testing.F) {
	s := video(f)
	s.WritePackets([]fanout.Packet{{Seq: 1, Payload: keyframe}})
	f.Add(Past(s, 0, 1<<20))
	f.Add([]byte{})
	f.Add(make([]byte, cursorLength))
	f.Fuzz(func(t *testing.T, piece []byte) {
		next, msg, more := SplitPast(piece)
		if more != (next != 0) {
			t.Fatal("more without a place to go on from")
		}
		count := new(Counters)
		if r := NewReceiver(s, count); !r.Past(msg) && count.Read().Drops["unreadable"] != 1 {
			t.Fatal("what cannot be read was not counted")
		}
	})
}
