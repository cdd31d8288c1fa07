package batch

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"weever/mediad/internal/fanout"
	"weever/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func packet(seq uint16, marker bool, size int) fanout.Packet {
	return fanout.Packet{Seq: seq, Timestamp: uint32(seq) * 10, Marker: marker, Payload: bytes.Repeat([]byte{byte(seq)}, size), At: time.Now()}
}

// queued empties the outbox and decodes what was in it.
func queued(t *testing.T, out *Outbox) (batches []Batch) {
	t.Helper()
	for {
		select {
		case m := <-out.queue:
			var b Batch
			if err := b.Decode(bytes.Clone(m.data)); err != nil {
				t.Fatal(err)
			}
			if m.subject != "subject" || m.packets != len(b.Packets) || len(m.data) >= 64<<10 {
				t.Errorf("message for %q with %d packets, really %d, of %d bytes", m.subject, m.packets, len(b.Packets), len(m.data))
			}
			out.done(m)
			batches = append(batches, b)
		default:
			return batches
		}
	}
}

func TestWire(t *testing.T) {
	packets := []fanout.Packet{
		{Seq: 65535, Timestamp: 1<<32 - 1, Marker: true, Payload: []byte("payload")},
		{Seq: 0, HasLevel: true, Level: 0x85, Payload: []byte{0xff}},
		{Seq: 1, HasOrientation: true, Orientation: 3, Payload: make([]byte, fanout.MaxPacket)},
		{Seq: 2, HasLevel: true, Level: 1, HasOrientation: true, Orientation: 2, Payload: []byte{}},
	}
	reports := []fanout.SenderReport{{NTP: 1<<64 - 2, RTP: 7}, {NTP: 1}}
	msg := AppendHeader(nil, 1<<32-2)
	msg = appendReport(msg, reports[0])
	for i := range packets {
		msg = AppendPacket(msg, &packets[i])
	}
	msg = appendReport(msg, reports[1])
	var b Batch
	for range 2 { // a Batch is reused
		if err := b.Decode(msg); err != nil {
			t.Fatal(err)
		}
	}
	if b.Number != 1<<32-2 || !slices.Equal(b.Reports, reports) || !reflect.DeepEqual(b.Packets, packets) {
		t.Errorf("got %+v", b)
	}
	for n := range len(msg) { // cut short anywhere, it is refused or a prefix
		if err := b.Decode(msg[:n]); err == nil && !reflect.DeepEqual(b.Packets, packets[:len(b.Packets)]) {
			t.Errorf("%d of %d bytes: %+v", n, len(msg), b)
		}
	}
	for name, bad := range map[string][]byte{
		"empty": {}, "version 2": append([]byte{2}, msg[1:]...), "too long a packet": AppendPacket(AppendHeader(nil, 0), &fanout.Packet{Payload: make([]byte, fanout.MaxPacket+1)}),
		"too many records": func() []byte {
			m := AppendHeader(nil, 0)
			for range MaxRecords + 1 {
				m = AppendPacket(m, &fanout.Packet{})
			}
			return m
		}(),
	} {
		if b.Decode(bad) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	msg := AppendHeader(nil, 5)
	p := packet(1, true, 20)
	p.HasLevel, p.HasOrientation = true, true
	f.Add(appendReport(AppendPacket(AppendPacket(msg, &p), &p), fanout.SenderReport{NTP: 1, RTP: 2}))
	f.Fuzz(func(t *testing.T, msg []byte) {
		var b Batch
		if b.Decode(msg) != nil {
			return
		}
		if len(b.Packets)+len(b.Reports) > MaxRecords {
			t.Fatal("too many records")
		}
		again := AppendHeader(nil, b.Number)
		for i := range b.Packets {
			if len(b.Packets[i].Payload) > fanout.MaxPacket {
				t.Fatal("too long a packet")
			}
			again = AppendPacket(again, &b.Packets[i])
		}
		for _, r := range b.Reports {
			again = appendReport(again, r)
		}
		var c Batch
		if err := c.Decode(again); err != nil || len(again) != len(msg) || len(c.Packets) != len(b.Packets) || len(c.Reports) != len(b.Reports) {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}

// TestBatching: when messages go, and what is in them.
func TestBatching(t *testing.T) {
	type write struct {
		after  time.Duration
		burst  []fanout.Packet
		report bool
	}
	one := func(seq uint16, marker bool) []fanout.Packet { return []fanout.Packet{packet(seq, marker, 1000)} }
	const ms = time.Millisecond
	for _, tc := range []struct {
		name   string
		video  bool
		writes []write
		want   [][]uint16 // sequence numbers of each message that has gone
		at     time.Duration
	}{
		{"a frame is a message", true, []write{{0, one(1, false), false}, {ms, one(2, false), false}, {ms, one(3, true), false}}, [][]uint16{{1, 2, 3}}, 0},
		{"a frame in one burst", true, []write{{0, []fanout.Packet{packet(1, false, 9), packet(2, true, 9), packet(3, false, 9)}, false}}, [][]uint16{{1, 2, 3}}, 0},
		{"an unfinished frame waits", true, []write{{0, one(1, false), false}}, nil, 5*ms - 1},
		{"but 5 ms only", true, []write{{0, one(1, false), false}, {4 * ms, one(2, false), false}}, [][]uint16{{1, 2}}, ms},
		{"a long frame in pieces", true, []write{{0, one(1, false), false}, {6 * ms, one(2, false), false}, {ms, one(3, true), false}}, [][]uint16{{1}, {2, 3}}, 0},
		{"sound at once when alone", false, []write{{0, one(1, false), false}, {20 * ms, one(2, false), false}}, [][]uint16{{1}, {2}}, 0},
		{"sound that follows closely waits", false, []write{{0, one(1, false), false}, {2 * ms, one(2, false), false}, {3 * ms, one(3, false), false}}, [][]uint16{{1}}, 0},
		{"but 10 ms only", false, []write{{0, one(1, false), false}, {2 * ms, one(2, false), false}, {3 * ms, one(3, false), false}}, [][]uint16{{1}, {2, 3}}, 7 * ms},
		{"a report goes with the next", true, []write{{0, nil, true}, {ms, one(1, true), false}}, [][]uint16{{1}}, 0},
		{"a report alone goes after a while", true, []write{{0, nil, true}}, [][]uint16{nil}, 5 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := NewOutbox(nil, new(Counters), nil)
				s := NewSender(out, "subject", tc.video)
				defer s.Close()
				s.Lease(time.Now().Add(time.Hour))
				reports, wantReports := 0, 0
				for _, w := range tc.writes {
					<-time.After(w.after)
					if w.report {
						wantReports++
						s.WriteReport(nil, fanout.SenderReport{NTP: 1})
						continue
					}
					for i := range w.burst {
						w.burst[i].At = time.Now()
					}
					s.WritePackets(nil, w.burst)
				}
				<-time.After(tc.at)
				synctest.Wait()
				var got [][]uint16
				for i, b := range queued(t, out) {
					var seqs []uint16
					for _, p := range b.Packets {
						seqs = append(seqs, p.Seq)
					}
					got = append(got, seqs)
					reports += len(b.Reports)
					if b.Number != uint32(i) {
						t.Errorf("message %d has number %d", i, b.Number)
					}
				}
				if !reflect.DeepEqual(got, tc.want) || reports != wantReports {
					t.Errorf("messages %v with %d reports, want %v with %d", got, reports, tc.want, wantReports)
				}
			})
		})
	}
}

// TestMessagesAreBounded: a frame that is too large for one message takes several.
func TestMessagesAreBounded(t *testing.T) {
	out := NewOutbox(nil, new(Counters), nil)
	s := NewSender(out, "subject", true)
	defer s.Close()
	s.Lease(time.Now().Add(time.Hour))
	for seq := range uint16(200) {
		s.WritePackets(nil, []fanout.Packet{packet(seq, seq == 199, fanout.MaxPacket)})
	}
	for seq := range uint16(2000) {
		s.WritePackets(nil, []fanout.Packet{packet(seq, seq == 1999, 0)})
	}
	large, small := 0, 0
	for _, b := range queued(t, out) { // which checks the sizes
		for _, p := range b.Packets {
			if len(p.Payload) == 0 {
				small++
			} else {
				large++
			}
		}
	}
	if large != 200 || small != 2000 {
		t.Errorf("%d large and %d small packets", large, small)
	}
}

// TestLeaseEnds: after the lease nothing goes, as when the process was suspended meanwhile.
func TestLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := new(Counters)
		out := NewOutbox(nil, count, nil)
		s := NewSender(out, "subject", true)
		s.Lease(time.Now().Add(time.Second))
		s.WritePackets(nil, []fanout.Packet{packet(1, true, 9)})
		<-time.After(time.Second + time.Millisecond)
		s.WritePackets(nil, []fanout.Packet{packet(2, true, 9)})
		if n := len(queued(t, out)); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
		s.Lease(time.Now().Add(time.Second))
		s.WritePackets(nil, []fanout.Packet{packet(3, true, 9), packet(4, false, 9)})
		s.WritePackets(nil, []fanout.Packet{packet(5, false, 9)})
		s.Close()
		s.WritePackets(nil, []fanout.Packet{packet(6, true, 9)})
		s.WriteReport(nil, fanout.SenderReport{})
		<-time.After(time.Second)
		if n := len(queued(t, out)); n != 1 {
			t.Errorf("%d messages, want only the one before Close", n)
		}
		if n := count.Read().Drops["lease_expired"]; n != 1 {
			t.Errorf("%d packets were counted, want 1", n)
		}
	})
}

// TestOutboxDropsTheOldest when nobody empties it, by number and by size, and never blocks.
func TestOutboxDropsTheOldest(t *testing.T) {
	for _, tc := range []struct {
		name         string
		size, pushed int
		kept         func(n int) bool
	}{
		{"by number", 10, outboxMessages + 500, func(n int) bool { return n == outboxMessages }},
		{"by size", 50 << 10, 1000, func(n int) bool { return n*50<<10 <= outboxBytes+100<<10 && n > 300 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			count := new(Counters)
			out := NewOutbox(nil, count, nil)
			for i := range tc.pushed {
				m := out.blank("subject")
				m.data, m.packets = append(m.data, make([]byte, tc.size)...), 1
				m.data[0] = byte(i)
				out.push(m)
			}
			kept := len(out.queue)
			if !tc.kept(kept) {
				t.Errorf("%d messages kept", kept)
			}
			if n := count.Read().Drops["outbox_full"]; n != uint64(tc.pushed-kept) {
				t.Errorf("%d drops counted, want %d", n, tc.pushed-kept)
			}
			if first := <-out.queue; first.data[0] != byte(tc.pushed-kept) {
				t.Errorf("the oldest kept is %d, want %d", first.data[0], byte(tc.pushed-kept))
			}
		})
	}
}

// TestOutboxRun publishes, drops while the bus is away, and goes on when it is back.
func TestOutboxRun(t *testing.T) {
	node := testkit.NATSCluster(t, 1)[0]
	nc, err := nats.Connect(node.URL, nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	in := make(chan *nats.Msg, 100)
	if _, err := nc.ChanSubscribe("subject", in); err != nil {
		t.Fatal(err)
	}
	count := new(Counters)
	var shut atomic.Bool
	out := NewOutbox(nc, count, func() bool { return !shut.Load() })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		out.Run(ctx)
	}()
	defer func() { cancel(); <-done }()
	push := func(text string) {
		m := out.blank("subject")
		m.data, m.packets = append(m.data, text...), 3
		out.push(m)
	}
	receive := func() string {
		t.Helper()
		select {
		case m := <-in:
			return string(m.Data)
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came")
			return ""
		}
	}
	push("one")
	if got := receive(); got != "one" {
		t.Errorf("got %q", got)
	}
	shut.Store(true)
	push("none")
	for count.Read().Drops["fenced"] != 3 {
		<-time.After(time.Millisecond)
	}
	shut.Store(false)
	lost, back := nc.StatusChanged(nats.RECONNECTING), nc.StatusChanged(nats.CONNECTED)
	node.Stop()
	<-lost
	push("two")
	for count.Read().Drops["bus_disconnected"] != 3 {
		<-time.After(time.Millisecond)
	}
	node.Start()
	<-back
	push("three")
	if got := receive(); got != "three" {
		t.Errorf("after the outage got %q", got)
	}
	if st := count.Read(); st.MessagesOut != 2 || st.PacketsOut != 6 || st.BytesOut != 8 {
		t.Errorf("counted %+v", st)
	}
}

// TestSendingDoesNotAllocate in the steady state.
func TestSendingDoesNotAllocate(t *testing.T) {
	out := NewOutbox(nil, new(Counters), nil)
	s := NewSender(out, "subject", true)
	defer s.Close()
	s.Lease(time.Now().Add(time.Hour))
	burst := []fanout.Packet{packet(1, false, 1100), packet(2, true, 1100)}
	var b Batch
	frame := func() {
		s.WritePackets(nil, burst)
		m := <-out.queue
		if b.Decode(m.data) != nil {
			t.Fatal("unreadable")
		}
		out.done(m)
	}
	frame()
	if n := testing.AllocsPerRun(500, frame); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
}

func BenchmarkSender(b *testing.B) {
	out := NewOutbox(nil, new(Counters), nil)
	s := NewSender(out, "subject", true)
	defer s.Close()
	s.Lease(time.Now().Add(time.Hour))
	burst := make([]fanout.Packet, 7)
	for i := range burst {
		burst[i] = packet(uint16(i), i == 6, 1100)
	}
	var in Batch
	b.ReportAllocs()
	for b.Loop() {
		s.WritePackets(nil, burst)
		m := <-out.queue
		if err := in.Decode(m.data); err != nil {
			b.Fatal(err)
		}
		out.done(m)
	}
}
