package receipts

import (
	"math"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// textbook is RFC 3550, appendix A.1 (without probation), A.3 and A.8, word for word.
type textbook struct {
	begun                        bool
	base, max                    uint16
	cycles                       uint32
	received                     int
	expectedPrior, receivedPrior int
	transit                      float64
	jitter                       float64
}

func (b *textbook) update(seq uint16, timestamp uint32, arrival time.Duration) {
	b.received++
	if b.begun && seq-b.max >= 1<<15 || b.begun && seq == b.max {
		return // Late ones may have been sent again: they say nothing of the network's jitter.
	}
	if b.begun && seq < b.max {
		b.cycles += 1 << 16
	}
	transit := arrival.Seconds()*clock - float64(timestamp)
	if !b.begun {
		b.begun, b.base, b.transit = true, seq, transit
	}
	b.max = seq
	b.jitter += (math.Abs(transit-b.transit) - b.jitter) / 16
	b.transit = transit
}

func (b *textbook) report() (lost int, fraction uint8, highest uint32) {
	highest = b.cycles + uint32(b.max)
	expected := int(highest) - int(b.base) + 1
	newly := expected - b.expectedPrior
	gone := newly - (b.received - b.receivedPrior)
	b.expectedPrior, b.receivedPrior = expected, b.received
	if newly != 0 && gone > 0 {
		fraction = uint8(gone << 8 / newly)
	}
	return max(expected-b.received, 0), fraction, highest // less than none are not told: a duplicate makes up for no loss
}

func TestReportsAreTheTextbooks(t *testing.T) {
	t.Parallel()
	swapped := from(500, 100)
	for i := 0; i+1 < len(swapped); i += 7 {
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
	}
	var twice []uint16
	for _, seq := range from(9, 60) {
		twice = append(twice, seq, seq)
	}
	for name, seqs := range map[string][]uint16{
		"one packet":                   {7},
		"all come":                     from(0, 400),
		"every tenth is lost":          without(from(100, 400), every(10)),
		"all but every tenth are lost": without(from(100, 400), func(i int) bool { return i%10 != 0 }),
		"the first second is lost":     without(from(1, 150), func(i int) bool { return i > 5 && i < 60 }),
		"over the wrap":                from(65400, 300),
		"over the wrap with losses":    without(from(65400, 300), every(3)),
		"from the last number":         from(65535, 120),
		"reordered":                    swapped,
		"before the first":             append([]uint16{10, 9, 8}, from(11, 100)...),
		"each twice":                   twice,
		"some lost, others twice":      append(without(from(0, 100), every(4)), 90, 92, 94),
		"late over the wrap":           {65533, 65534, 1, 2, 65535, 0, 3, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book, b := New(ours), &textbook{}
			s := book.Stream(theirs, clock, false)
			now, reports := start(), 0
			for i, seq := range seqs {
				now = now.Add(20*time.Millisecond + time.Duration(i*i%7)*time.Millisecond)
				timestamp := uint32(i * 960)
				latest := !b.begun || seq-b.max < 1<<15 && seq != b.max
				b.update(seq, timestamp, now.Sub(start()))
				if got := s.Arrived(seq, timestamp, now); got != latest {
					t.Fatalf("packet %d is the latest: %v", i, got)
				}
				if due := book.Due(); i < len(seqs)-1 && now.Before(due) {
					continue
				}
				lost, fraction, highest := b.report()
				got := blocks(t, book.Write(now.Add(reportEvery)))
				if len(got) != 1 {
					t.Fatalf("%d blocks", len(got))
				}
				reports++
				r := got[0]
				if r.SSRC != theirs || int(r.TotalLost) != lost || r.FractionLost != fraction || r.LastSequenceNumber != highest {
					t.Errorf("after packet %d: %+v, want %d lost, a fraction of %d, highest %d", i, r, lost, fraction, highest)
				}
				if math.Abs(float64(r.Jitter)-b.jitter) > 1 {
					t.Errorf("after packet %d: jitter %d, want %.1f", i, r.Jitter, b.jitter)
				}
			}
			if want := len(seqs) / 60; reports <= want/2 {
				t.Errorf("%d reports", reports)
			}
			if rest := silence(t, book); len(rest) > 0 {
				t.Errorf("a silent publisher was told %v", rest)
			}
		})
	}
}

// A constant rate has no jitter, wherever the timestamps begin and when they wrap; a jump of them is none either.
func TestJitter(t *testing.T) {
	t.Parallel()
	for name, timestamp := range map[string]func(i int) uint32{
		"from 0":         func(i int) uint32 { return uint32(i) * 960 },
		"over the wrap":  func(i int) uint32 { return math.MaxUint32 - 960*100 + uint32(i)*960 },
		"from far above": func(i int) uint32 { return 1<<31 + uint32(i)*960 },
	} {
		book := New(ours)
		s := book.Stream(theirs, clock, false)
		for i := range 1000 {
			s.Arrived(uint16(i), timestamp(i), start().Add(time.Duration(i)*20*time.Millisecond))
		}
		if r := s.report(start()); r.Jitter != 0 {
			t.Errorf("%s: jitter %d", name, r.Jitter)
		}
	}
}

// What is said of the publisher's reports: which was the last, and how long ago it came (RFC 3550 section 6.4.1).
func TestLastReport(t *testing.T) {
	t.Parallel()
	book, now := New(ours), start()
	s := book.Stream(theirs, clock, false)
	s.Arrived(1, 0, now)
	if r := blocks(t, book.Write(now.Add(time.Second)))[0]; r.LastSenderReport != 0 || r.Delay != 0 {
		t.Errorf("before there is one: %+v", r)
	}
	s.Reported(0x1111_2222_3333_4444, now)
	s.Reported(0xaaaa_bbbb_cccc_dddd, now.Add(500*time.Millisecond))
	for i, wait := range []time.Duration{1500 * time.Millisecond, 4250 * time.Millisecond} {
		s.Arrived(uint16(2+i), 0, now)
		r := blocks(t, book.Write(now.Add(wait)))[0]
		if want := uint32((wait - 500*time.Millisecond) * 65536 / time.Second); r.LastSenderReport != 0xbbbb_cccc || r.Delay != want {
			t.Errorf("after %v: %x and %d, want %d", wait, r.LastSenderReport, r.Delay, want)
		}
	}
	s.Arrived(30_000, 0, now.Add(5*time.Second)) // the numbers begin anew, the clock goes on
	if r := blocks(t, book.Write(now.Add(6500*time.Millisecond)))[0]; r.LastSenderReport != 0xbbbb_cccc || r.Delay != 6*65536 {
		t.Errorf("after a new beginning: %+v", r)
	}
}

// TestJumps: a step of more than a thousand is a new beginning, forth and back, of which nothing is missing.
func TestJumps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		to    uint16
		anew  bool
		count int // of what is missing
	}{
		"a thousand":        {5000 + maxJump, false, maxMissing},
		"more":              {5001 + maxJump, true, 0},
		"half the circle":   {5000 + 1<<15, true, 0},
		"back, but not far": {5000 - maxJump, false, 0},
		"back":              {4999 - maxJump, true, 0},
	} {
		book, now := New(ours), start()
		s := book.Stream(theirs, clock, true)
		s.Arrived(4990, 0, now)
		s.Arrived(5000, 0, now) // nine are missing
		s.Arrived(c.to, 0, now)
		if got := s.missing; c.anew && len(got) != 0 || !c.anew && c.count > 0 && len(got) != c.count || len(got) != book.missing {
			t.Errorf("%s: %d missing, by the book %d", name, len(got), book.missing)
		}
		s.Arrived(c.to+1, 0, now)
		r := s.report(now)
		if c.anew && (r.TotalLost != 0 || r.FractionLost != 0 || r.LastSequenceNumber != uint32(c.to)+1) {
			t.Errorf("%s: %+v", name, r)
		}
		if !c.anew && r.TotalLost == 0 {
			t.Errorf("%s: nothing is lost", name)
		}
	}
}

// Reports have 31 blocks at most, and none of streams that are silent.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	book, now := New(ours), start()
	for i := range 100 {
		s := book.Stream(uint32(i), clock, false)
		if i != 50 {
			s.Arrived(1, 0, now)
		}
	}
	packets := book.Write(now.Add(time.Second))
	got := blocks(t, packets)
	if len(packets) != 4 || len(got) != 99 {
		t.Errorf("%d reports with %d blocks", len(packets), len(got))
	}
	for _, r := range got {
		if r.SSRC == 50 {
			t.Error("a silent stream has a block")
		}
	}
	for _, p := range packets {
		if n := p.(*rtcp.ReceiverReport).MarshalSize(); n > 1200 {
			t.Errorf("a report of %d bytes", n)
		}
	}
}

// An SSRC has one account: who begins another gives up the first, however often.
func TestOneAccount(t *testing.T) {
	t.Parallel()
	book, now := New(ours), start()
	for range 1000 {
		s := book.Stream(theirs, clock, true)
		s.Arrived(1, 0, now)
		s.Arrived(100, 0, now)
	}
	if len(book.streams) != 1 || book.missing != 98 {
		t.Errorf("%d accounts, %d packets missing", len(book.streams), book.missing)
	}
	if got := blocks(t, book.Write(now.Add(time.Second))); len(got) != 1 {
		t.Errorf("%d blocks", len(got))
	}
}
