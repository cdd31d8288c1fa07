package receipts

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// TestAsking: what is missing is asked for after a moment's patience, again until it is there, and not for ever.
func TestAsking(t *testing.T) {
	t.Parallel()
	book, now := New(ours), start()
	s := book.Stream(theirs, clock, true)
	for _, seq := range []uint16{65534, 65535, 2, 4} { // 0, 1 and 3 are missing
		s.Arrived(seq, 0, now)
	}
	if due := book.Due(); !due.Equal(now.Add(10 * time.Millisecond)) {
		t.Fatalf("due after %v", due.Sub(now))
	}
	same(t, "too early", wanted(t, book.Write(now.Add(9*time.Millisecond))), nil)
	same(t, "after the patience", wanted(t, book.Write(now.Add(10*time.Millisecond))), []uint16{0, 1, 3})
	same(t, "at once again", wanted(t, book.Write(now.Add(109*time.Millisecond))), nil)
	same(t, "again", wanted(t, book.Write(now.Add(110*time.Millisecond))), []uint16{0, 1, 3})
	s.Repaired(1)
	s.Repaired(7) // not asked for
	s.Arrived(0, 0, now)
	s.Arrived(0, 0, now)
	asked := wanted(t, silence(t, book))
	if want := slices.Repeat([]uint16{3}, maxAsks-2); !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
	if book.missing != 0 {
		t.Errorf("%d are remembered", book.missing)
	}
}

// TestPatience: what was only overtaken is not asked for, and each gap has its own time.
func TestPatience(t *testing.T) {
	t.Parallel()
	book, now := New(ours), start()
	s := book.Stream(theirs, clock, true)
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	s.Arrived(1, 0, at(0))
	s.Arrived(3, 0, at(0))
	s.Arrived(2, 0, at(9))
	same(t, "what came late", wanted(t, book.Write(at(10))), nil)
	s.Arrived(5, 0, at(20))
	s.Arrived(7, 0, at(25))
	same(t, "the first gap", wanted(t, book.Write(at(30))), []uint16{4})
	if due := book.Due(); !due.Equal(at(35)) {
		t.Errorf("the second gap is due after %v", due.Sub(now))
	}
	same(t, "the second gap", wanted(t, book.Write(at(35))), []uint16{6})
	same(t, "both again", wanted(t, book.Write(at(135))), []uint16{4, 6})
}

// TestAskingIsBounded: for each stream, for all, and in each packet.
func TestAskingIsBounded(t *testing.T) {
	t.Parallel()
	now := start()
	book := New(ours)
	silent := book.Stream(theirs, clock, false)
	silent.Arrived(1, 0, now)
	silent.Arrived(900, 0, now)
	same(t, "a stream that does not repeat", wanted(t, book.Write(now.Add(time.Minute))), nil)

	book = New(ours)
	s := book.Stream(theirs, clock, true)
	s.Arrived(0, 0, now)
	s.Arrived(1000, 0, now)
	same(t, "the latest of many", wanted(t, book.Write(now.Add(time.Minute))), from(1000-maxMissing, maxMissing))

	book = New(ours)
	s = book.Stream(theirs, clock, true)
	for i := range 2 * maxMissing { // as far apart as it takes to need a pair for each
		for n := range 20 {
			if n != 17 {
				s.Arrived(uint16(20*i+n), 0, now)
			}
		}
	}
	packets := book.Write(now.Add(patience))
	for _, p := range packets {
		if n := p.MarshalSize(); n > 1200 {
			t.Errorf("a request of %d bytes", n)
		}
	}
	if got := len(wanted(t, packets)); got != maxMissing || len(packets) != 3 {
		t.Errorf("%d were asked for in %d packets", got, len(packets))
	}

	book = New(ours)
	for ssrc := range uint32(100) {
		s := book.Stream(ssrc, clock, true)
		for i := range 10 {
			s.Arrived(uint16(i*1000), 0, now)
		}
	}
	n := 0
	for _, s := range book.streams {
		n += len(s.missing)
	}
	if n > maxLost || n < maxLost-maxMissing || book.missing != n {
		t.Errorf("%d packets of all streams are missing, by the book %d", n, book.missing)
	}
	silence(t, book)
	if book.missing != 0 {
		t.Errorf("%d are remembered", book.missing)
	}
}

// arrivals reads transport-wide feedback as a publisher does: when each packet came, and which did not.
func arrivals(t *testing.T, packets []rtcp.Packet) (numbers []uint16, at map[uint16]time.Duration) {
	t.Helper()
	at = map[uint16]time.Duration{}
	for _, p := range parsed(t, packets) {
		cc, ok := p.(*rtcp.TransportLayerCC)
		if !ok {
			continue
		}
		if cc.SenderSSRC != ours || cc.MediaSSRC != theirs {
			t.Errorf("by %x of %d", cc.SenderSSRC, cc.MediaSSRC)
		}
		if n := cc.MarshalSize(); n > 1200 {
			t.Errorf("a report of %d bytes", n)
		}
		clock := time.Duration(cc.ReferenceTime) * 64 * time.Millisecond
		number, deltas := cc.BaseSequenceNumber, cc.RecvDeltas
		var symbols []uint16
		for _, c := range cc.PacketChunks {
			switch c := c.(type) {
			case *rtcp.RunLengthChunk:
				symbols = append(symbols, slices.Repeat([]uint16{c.PacketStatusSymbol}, int(c.RunLength))...)
			case *rtcp.StatusVectorChunk:
				symbols = append(symbols, c.SymbolList...)
			}
		}
		for _, symbol := range symbols[:cc.PacketStatusCount] {
			numbers = append(numbers, number)
			if symbol != rtcp.TypeTCCPacketNotReceived {
				clock += time.Duration(deltas[0].Delta) * time.Microsecond
				at[number], deltas = clock, deltas[1:]
			}
			number++
		}
	}
	return numbers, at
}

// TestWide: of the transport-wide numbers the publisher hears within a tenth of a second which came, and when.
func TestWide(t *testing.T) {
	t.Parallel()
	book, now := New(ours), start()
	sent := from(65500, 100)
	for i, number := range sent {
		if i%10 != 3 {
			book.Arrived(theirs, number, now.Add(time.Duration(i)*time.Millisecond))
		}
	}
	if due := book.Due(); !due.Equal(now.Add(100 * time.Millisecond)) {
		t.Errorf("due after %v", due.Sub(now))
	}
	packets := silence(t, book)
	numbers, at := arrivals(t, packets)
	same(t, "numbers", numbers, sent)
	for i, number := range sent {
		came, ok := at[number]
		if ok != (i%10 != 3) || ok && (came-at[sent[0]]-time.Duration(i)*time.Millisecond).Abs() > time.Millisecond {
			t.Errorf("packet %d: came %v after %v", i, ok, came)
		}
	}
	if len(packets) != 1 {
		t.Errorf("%d packets", len(packets))
	}
	book.Arrived(theirs, sent[99]+1, now.Add(time.Second))
	_, later := arrivals(t, silence(t, book))
	if d := later[sent[99]+1] - at[sent[0]]; (d - time.Second).Abs() > time.Millisecond {
		t.Errorf("a second later is told as %v", d)
	}
}

// TestWideIsBounded: many are told of earlier, and numbers that jump cost no more than others.
func TestWideIsBounded(t *testing.T) {
	t.Parallel()
	book, now := New(ours), start()
	for i := range maxWide {
		if i > 0 && !book.Due().Equal(now.Add(wideEvery)) {
			t.Fatalf("packet %d is due after %v", i, book.Due().Sub(now))
		}
		book.Arrived(theirs, uint16(3*i), now) // each with a gap
	}
	if due := book.Due(); due.After(now.Add(time.Millisecond)) {
		t.Errorf("many are due after %v", due.Sub(now))
	}
	if _, at := arrivals(t, silence(t, book)); len(at) != maxWide {
		t.Errorf("%d of %d packets are told of", len(at), maxWide)
	}

	book = New(ours)
	book.Arrived(theirs, 0, now)
	book.Arrived(theirs, 30_000, now.Add(time.Millisecond)) // noise
	book.Arrived(theirs, 1, now.Add(2*time.Millisecond))
	numbers, _ := arrivals(t, silence(t, book))
	same(t, "with a number far away", numbers, []uint16{0, 1})
	book.Arrived(theirs, 30_001, now.Add(time.Second))
	book.Arrived(theirs, 30_002, now.Add(time.Second))
	numbers, at := arrivals(t, silence(t, book))
	same(t, "after a new beginning", numbers, []uint16{30_001, 30_002})
	if d := at[30_001]; (d - time.Second).Abs() > time.Millisecond {
		t.Errorf("told to have come at %v: the clock has begun anew", d)
	}
}

// TestNothingIsDue to one who sends nothing, at the beginning and in the end.
func TestNothingIsDue(t *testing.T) {
	t.Parallel()
	book, now := New(ours), start()
	s := book.Stream(theirs, clock, true)
	if due := book.Due(); !due.IsZero() || len(book.Write(now)) > 0 {
		t.Errorf("at the beginning something is due at %v", due)
	}
	s.Reported(1, now)
	s.Repaired(7)
	if due := book.Due(); !due.IsZero() {
		t.Errorf("without packets something is due at %v", due)
	}
	s.Arrived(1, 0, now)
	s.Arrived(3, 0, now)
	book.Arrived(theirs, 1, now)
	packets := silence(t, book)
	if len(packets) != 1+maxAsks+1 {
		t.Errorf("%d packets: %v", len(packets), packets)
	}
}

// TestOrder: a compound packet begins with a report.
func TestOrder(t *testing.T) {
	t.Parallel()
	book, now := New(ours), start()
	s := book.Stream(theirs, clock, true)
	s.Arrived(1, 0, now)
	s.Arrived(3, 0, now)
	book.Arrived(theirs, 1, now)
	packets := book.Write(now.Add(time.Minute))
	if len(packets) != 3 {
		t.Fatalf("%v", packets)
	}
	if _, ok := packets[0].(*rtcp.ReceiverReport); !ok {
		t.Errorf("a %T comes first", packets[0])
	}
	if _, err := rtcp.Marshal(packets); err != nil {
		t.Error(err)
	}
}
