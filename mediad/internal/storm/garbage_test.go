package storm

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
	"weever/shared/testkit/netns"
)

const (
	floodRate  = 60_000 // packets a second that the flood tries for
	floodLeast = 20_000 // below, it says nothing: this machine cannot make one
	floodLasts = 10 * time.Second
	strangers  = 16 // addresses
)

// forgery is a datagram that lies about where it comes from.
type forgery struct {
	from     netip.AddrPort
	stranger bool // nobody has a session there
	payload  []byte
}

// noise makes n bytes of it behind a beginning.
func noise(rng *rand.Rand, n int, beginning ...byte) []byte {
	b := make([]byte, max(n, len(beginning)))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	copy(b, beginning)
	return b
}

// kinds of garbage, by what they look like (RFC 9443 section 3: the first byte tells).
func kinds() map[string]func(*rand.Rand) []byte {
	return map[string]func(*rand.Rand) []byte{
		"anything": func(r *rand.Rand) []byte { return noise(r, 1+r.IntN(1200)) },
		"empty":    func(*rand.Rand) []byte { return nil },
		"STUN requests": func(r *rand.Rand) []byte {
			name := fmt.Sprintf("%x:%x", r.Uint64(), r.Uint64())
			return stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername(name), stun.NewShortTermIntegrity("guess"), stun.Fingerprint).Raw
		},
		"STUN answers": func(*rand.Rand) []byte {
			return stun.MustBuild(stun.BindingSuccess, stun.TransactionID, stun.NewShortTermIntegrity("guess"), stun.Fingerprint).Raw
		},
		"broken STUN": func(r *rand.Rand) []byte {
			b := noise(r, 20+4*r.IntN(40), 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42)
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)-20)) //nolint:gosec // small
			return b
		},
		"broken DTLS":    func(r *rand.Rand) []byte { return noise(r, 13+r.IntN(200), 22, 0xfe, 0xfd, 0, 0) },
		"DTLS farewells": func(r *rand.Rand) []byte { return record(r, alerts, 0, []byte{1, 0}) },
		"DTLS failures":  func(r *rand.Rand) []byte { return record(r, alerts, 0, []byte{2, 40}) },
		"DTLS warnings":  func(r *rand.Rand) []byte { return record(r, alerts, 0, []byte{1, 90}) },
		"DTLS data, not encrypted": func(r *rand.Rand) []byte {
			return record(r, data, 0, noise(r, 1+r.IntN(100)))
		},
		"DTLS data, not authentic": func(r *rand.Rand) []byte {
			return record(r, data, 1, noise(r, 24+r.IntN(100)))
		},
		"DTLS cipher changes": func(r *rand.Rand) []byte { return record(r, cipherChange, 0, []byte{1}) },
		"DTLS hellos": func(r *rand.Rand) []byte {
			body := noise(r, 60+r.IntN(200))
			hello := append([]byte{1, 0, 0, byte(len(body)), 0, byte(r.IntN(16)), 0, 0, 0, 0, 0, byte(len(body))}, body...)
			return record(r, handshakes, 0, hello)
		},
		"SRTP":         func(r *rand.Rand) []byte { return noise(r, 60+r.IntN(1000), 0x80, 96) },
		"SRTCP":        func(r *rand.Rand) []byte { return noise(r, 28+r.IntN(100), 0x81, 205) },
		"cut SRTP":     func(r *rand.Rand) []byte { return noise(r, 1+r.IntN(16), 0x9f, 96) }, // sources and an extension that are not there
		"TURN channel": func(r *rand.Rand) []byte { return noise(r, 60, 64) },
	}
}

// What is in a record of DTLS (RFC 6347 section 4.1).
const (
	cipherChange = 20
	alerts       = 21
	handshakes   = 22
	data         = 23
)

// record is a well-formed one. Of epoch 0 are those that are in the clear; its number is later than all that were sent.
func record(r *rand.Rand, content byte, epoch uint16, body []byte) []byte {
	b := append([]byte{content, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, body...)
	binary.BigEndian.PutUint64(b[3:], uint64(epoch)<<48|uint64(r.Uint32()))
	binary.BigEndian.PutUint16(b[11:], uint16(len(body))) //nolint:gosec // small
	return b
}

// forgeries makes a stock of all kinds, from strangers and from those who have sessions.
func forgeries(known []netip.AddrPort, ssrc uint32) (all []forgery) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		for name, make := range kinds() {
			for i := range 6 {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(rng.IntN(strangers))}), uint16(1024+rng.IntN(60000))) //nolint:gosec // small
				if i == 0 {
					from = known[rng.IntN(len(known))]
				}
				payload := make(rng)
				if name == "SRTP" && i == 0 && rng.IntN(2) == 0 { // as the publisher's own
					binary.BigEndian.PutUint32(payload[8:], ssrc)
				}
				all = append(all, forgery{from, i > 0, payload})
			}
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// address is where a session's packets come from.
func address(t testing.TB, s *client.Session) netip.AddrPort {
	t.Helper()
	pair, err := s.PeerConnection().SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		t.Fatalf("no pair of candidates: %v", err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr(pair.Local.Address), pair.Local.Port)
}

// tally counts what was sent.
type tally struct{ all, strangers int }

// flood sends forgeries at a steady rate until the time is over.
func flood(t testing.TB, f *netns.Forger, to netip.AddrPort, stock []forgery, lasts time.Duration) (sent tally) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for elapsed := time.Duration(0); elapsed < lasts; elapsed = time.Since(began) {
		for due := int(elapsed.Seconds() * floodRate); sent.all < due; sent.all++ {
			g := &stock[sent.all%len(stock)]
			if g.stranger {
				sent.strangers++
			}
			if err := f.Send(g.from, to, g.payload); err != nil {
				t.Error(err)
				return sent
			}
		}
		<-tick.C
	}
	return sent
}

// unwanted counts the packets that the node has dropped because of what they are: not those that the kernel has dropped, nor what is
// dropped in the ordinary course of media.
func (f figures) unwanted() (n float64) {
	n = f.sum("weever_drops_total")
	for _, ordinary := range []string{"kernel_buffer_full", "nack_", "waiting_keyframe", "stale", "reordered", "duplicate"} {
		n -= f.sum("weever_drops_total", `reason="`+ordinary)
	}
	return n
}

// Whatever strangers send to the media port, and whatever they send in the name of those who have sessions: these go on, nothing grows,
// and each packet is counted.
func TestGarbage(t *testing.T) {
	const viewers = 5
	s := newStage(t)
	alice := s.publish("tea", "alice", client.Microphone(), client.Camera(synth.VP8, synth.Browser))
	known := []netip.AddrPort{address(t, alice.Session)}
	var all []*client.Subscriber
	var ears []*ear
	for i := range viewers {
		e := newEar()
		cfg := s.visit("tea", fmt.Sprintf("viewer%d", i))
		cfg.Arrived = e.note
		v := s.subscribe(cfg)
		if err := v.AwaitMedia(within(t, joinLimit)); err != nil {
			t.Fatal(err)
		}
		all, ears, known = append(all, v), append(ears, e), append(known, address(t, v.Session))
	}
	ssrc := uint32(alice.PeerConnection().GetSenders()[1].GetParameters().Encodings[0].SSRC)
	forger := s.lan.Forger()
	hold(time.Second)
	before, overflowed, logged := s.figures(), s.overflows(), s.log.bytes.Load()

	done := make(chan tally)
	began := time.Now()
	go func() { done <- flood(t, forger, s.media(), forgeries(known, ssrc), floodLasts) }()
	var sent tally
	var memory []float64
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for flooding := true; flooding; {
		select {
		case sent = <-done:
			flooding = false
		case <-tick.C:
			memory = append(memory, s.figures()["process_resident_memory_bytes"])
		}
	}
	rate := float64(sent.all) / time.Since(began).Seconds()
	hold(500 * time.Millisecond) // what was in the buffers has been read
	now := s.figures().since(before)
	lost := float64(s.overflows() - overflowed)
	in := now.sum("weever_udp_packets_total", `direction="in"`)
	dropped := now.unwanted()
	received, strange := float64(sent.all)-lost, float64(sent.strangers)-lost
	was, is := before["process_resident_memory_bytes"], memory[len(memory)-1]
	t.Logf("%d packets of garbage, %.0f a second, %d of them in the names of people here; the node read %.0f packets of all kinds in %.1f s of CPU time; "+
		"the kernel dropped %.0f that it did not read in time", sent.all, rate, sent.all-sent.strangers, in, now["process_cpu_seconds_total"], lost)
	t.Logf("%.0f were counted as dropped: %s", dropped, now.named("weever_drops_total"))
	t.Logf("memory: %.1f MB before, %.1f MB after 2 s, %.1f MB at the end; %d bytes were logged", was/1e6, memory[3]/1e6, is/1e6, s.log.bytes.Load()-logged)

	if rate < floodLeast {
		t.Errorf("only %.0f packets a second", rate)
	}
	if in < received || dropped > in {
		t.Errorf("the node was sent %.0f packets of garbage, and counted %.0f in all, %.0f as dropped", received, in, dropped)
	}
	if dropped < 0.99*strange {
		t.Errorf("of %.0f packets of strangers %.0f were counted as dropped", strange, dropped)
	}
	if dropped < 0.99*received {
		t.Errorf("of %.0f packets of garbage %.0f were counted as dropped", received, dropped)
	}
	if is > memory[3]+16e6 || is > was+64e6 {
		t.Errorf("memory grows: %.1f MB before, %.1f MB after 2 s, %.1f MB at the end", was/1e6, memory[3]/1e6, is/1e6)
	}
	if n := s.log.bytes.Load() - logged; n > 64<<10 {
		t.Errorf("%d bytes were logged", n)
	}
	share := lost / (in + lost) // of what the kernel dropped some was the publisher's
	s.goOn(all, ears, share)
}

// goOn insists that nobody's session is over, that the control channel works, and that not more is missing than a share.
func (s *stage) goOn(viewers []*client.Subscriber, ears []*ear, share float64) {
	s.Helper()
	for i, v := range viewers {
		if _, err := v.Ping(within(s, 5*time.Second), "still there"); err != nil {
			s.Errorf("viewer%d: %v", i, err)
		}
		for _, h := range ears[i].list() {
			missing := func() int {
				for _, h2 := range ears[i].list() {
					if h2.Track == h.Track {
						h = h2
					}
				}
				return h.missing()
			}
			limit := int(2*share*float64(len(h.Counts))) + len(h.Counts)/500
			late := time.Now().Add(2 * time.Second)
			for missing() > limit && time.Now().Before(late) {
				hold(50 * time.Millisecond)
			}
			s.Logf("viewer%d got %d packets of %s, %d are missing", i, len(h.Counts), h.Track, h.missing())
			if h.missing() > limit {
				s.Errorf("viewer%d lacks %d packets of %s of %d, at most %d may be", i, h.missing(), h.Track, len(h.Counts), limit)
			}
			if time.Since(h.newest()) > 2*time.Second {
				s.Errorf("viewer%d gets no more of %s", i, h.Track)
			}
		}
	}
}

// silent reports whether pion passes over garbage that arrives after the handshake without a word. newest is the highest number of a
// record so far.
func silent(kind string, b []byte, newest *uint64) bool {
	switch kind {
	case "anything": // may look like a record of DTLS without the length that it names (RFC 6347 section 4.1.2.7)
		return b[0] >= cipherChange && b[0] < 64
	case "DTLS cipher changes": // there is nothing to change; it may be the other side's own, sent again
		return true
	case "DTLS hellos": // the other side may have to send parts of the handshake again: those are looked into; older ones count as duplicates
		if n := binary.BigEndian.Uint64(b[3:]); n > *newest {
			*newest = n
			return true
		}
	}
	return false
}

// No kind of garbage ends a session, whoever's address it bears: each person of a room gets one kind, as if from herself. And all of it is
// counted, but for what pion passes over in silence.
func TestGarbageInSomebodysName(t *testing.T) {
	const each = 200
	s := newStage(t)
	s.publish("tea", "alice", client.Microphone(), client.Camera(synth.VP8, synth.Browser))
	rng := rand.New(rand.NewPCG(3, 4))
	forger := s.lan.Forger()
	all := map[string]*client.Subscriber{}
	for _, name := range slices.Sorted(maps.Keys(kinds())) {
		v := s.subscribe(s.visit("tea", fmt.Sprintf("viewer%d", len(all))))
		if err := v.AwaitMedia(within(t, joinLimit)); err != nil {
			t.Fatal(err)
		}
		all[name] = v
		from, before, skipped, newest := address(t, v.Session), s.figures(), 0, uint64(0)
		for range each {
			b := kinds()[name](rng)
			if silent(name, b, &newest) {
				skipped++
			}
			if err := forger.Send(from, s.media(), b); err != nil {
				t.Fatal(err)
			}
		}
		s.counted(name, before, each-skipped, true)
	}
	for name, v := range all {
		if _, err := v.Ping(within(t, 5*time.Second), "still there"); err != nil {
			t.Errorf("%s in the name of a viewer end her session: %v", name, err)
		}
	}
}
