package intake

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/peer/inbound"
	"weever/mediad/internal/udpio"
)

// An authentic publisher may do its worst: it costs others nothing.

func TestManySources(t *testing.T) {
	s := newNode(t).publish(t, offer(section("audio", "0"), section("video", "1")))
	v := s.watch("video0")
	taken := 0
	for i := range uint32(10_000) {
		taken += s.send(sent{ssrc: i, pt: []uint8{96, 97, 111}[i%3], seq: uint16(i), mid: "1"})
	}
	if n := s.accounts(); n != maxLanes {
		t.Errorf("%d accounts", n)
	}
	if s.send(sent{ssrc: 0, pt: 96, seq: 10_000}) != 1 || len(v.seqs()) == 0 {
		t.Error("the first of them has nothing more to say")
	}
	if taken > maxLanes {
		t.Errorf("%d packets were taken", taken)
	}
}

// TestCodecs: a track follows its publisher to another codec, but what is late does not take it back, and there is an end to it.
func TestCodecs(t *testing.T) {
	s := newNode(t).publish(t, offer(section("audio", "0"), section("video", "1")))
	is := func(want string, seqs ...uint16) {
		t.Helper()
		if got := s.Tracks()[1].Codec; !strings.EqualFold(got, want) {
			t.Errorf("the codec is %s, want %s", got, want)
		}
		v := s.watch("video0")
		if !strings.EqualFold(v.stream.Codec(), want) {
			t.Errorf("the stream has %s, want %s", v.stream.Codec(), want)
		}
		if n := v.stream.Stats().Packets; n != uint64(len(seqs)) {
			t.Errorf("it has %d packets, want %d", n, len(seqs))
		}
	}
	s.send(sent{ssrc: 1, pt: 96, seq: 1, mid: "1"}, sent{ssrc: 1, pt: 96, seq: 3})
	is("video/VP8", 1, 3)
	s.send(sent{ssrc: 1, pt: 98, seq: 5})
	is("video/VP9", 5)
	select {
	case <-s.Changed():
	default:
		t.Error("the session was not told")
	}
	s.send(sent{ssrc: 1, pt: 96, seq: 4}, sent{ssrc: 2, pt: 97, seq: 1, mid: "1", osn: 2}, sent{ssrc: 1, pt: 98, seq: 6}, sent{ssrc: 2, pt: 99, seq: 2, osn: 4})
	is("video/VP9", 5, 6, 4)
	if n := s.watch("video0").stream.Stats().Drops[drop.PayloadType]; n != 2 {
		t.Errorf("%d late packets were dropped for their payload type, want 2", n)
	}
	for i := range uint16(100) {
		s.send(sent{ssrc: 1, pt: 96 + uint8(i%2)*2, seq: 7 + i})
	}
	codec := s.Tracks()[1].Codec
	v := s.watch("video0")
	for i := range uint16(10) {
		s.send(sent{ssrc: 1, pt: 96 + uint8(i%2)*2, seq: 107 + i})
	}
	if s.Tracks()[1].Codec != codec || len(v.seqs()) != 5 {
		t.Errorf("in the end %d packets of 10 came, of two codecs", len(v.seqs()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if opened := s.inputs[1].opened; opened != 1+maxRecodings {
		t.Errorf("the streams were made %d times", opened)
	}
}

// TestMalformed: what cannot be read is counted at its stream, and makes no account.
func TestMalformed(t *testing.T) {
	s := newNode(t).publish(t, offer(section("audio", "0"), section("video", "1")))
	v := s.watch("video0")
	good := sent{ssrc: 1, pt: 96, seq: 1, mid: "1"}
	s.send(good)
	raw := good.raw(t)
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(raw)
		f(b)
		return b
	}
	for name, c := range map[string]struct {
		packet []byte
		why    drop.Reason
		lost   bool
	}{
		"an extension that goes on":     {change(func(b []byte) { b[15] = 200 }), drop.Malformed, false},
		"an element that goes on":       {change(func(b []byte) { b[16] |= 0xf }), drop.Malformed, false},
		"CSRCs that go on":              {change(func(b []byte) { b[0] |= 0xf }), drop.Malformed, false},
		"version 1":                     {change(func(b []byte) { b[0] ^= 0xc0 }), drop.Malformed, false},
		"padding of 255":                {append(change(func(b []byte) { b[0] |= 0x20 }), 255), drop.Malformed, false},
		"padding of 0":                  {append(change(func(b []byte) { b[0] |= 0x20 }), 0), drop.Malformed, false},
		"longer than leaves again":      {append(bytes.Clone(raw), make([]byte, fanout.MaxPacket)...), drop.Oversized, false},
		"longer than a header":          {raw[:11], drop.Malformed, true},
		"nothing":                       {nil, drop.Malformed, true},
		"of nobody, and cannot be read": {change(func(b []byte) { b[0] |= 0xf; b[11] = 9 }), drop.Malformed, true},
	} {
		before := v.stream.Stats().Drops
		taken := s.RTP(c.packet)
		s.Done()
		after := v.stream.Stats().Drops
		if c.lost && (taken || after != before) || !c.lost && (!taken || after[c.why] != before[c.why]+1) {
			t.Errorf("%s: taken %v, dropped %v after %v", name, taken, after, before)
		}
	}
	if s.accounts() != 1 || len(v.seqs()) != 1 {
		t.Errorf("%d accounts, packets %v", s.accounts(), v.seqs())
	}
}

// TestReports: sender reports go to the streams, in order with the packets; the rest of what RTCP can say costs nothing.
func TestReports(t *testing.T) {
	s := newNode(t).publish(t, offer(section("audio", "0"), section("video", "1")))
	v := s.watch("video0")
	s.send(sent{ssrc: 1, pt: 96, seq: 1, mid: "1"}, sent{ssrc: 2, pt: 97, seq: 1, mid: "1"})
	compound := func(packets ...rtcp.Packet) []byte {
		b, err := rtcp.Marshal(packets)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sr := func(ssrc uint32, ntp uint64, blocks int) rtcp.Packet {
		return &rtcp.SenderReport{SSRC: ssrc, NTPTime: ntp, RTPTime: uint32(ntp) + 1, Reports: make([]rtcp.ReceptionReport, blocks)}
	}
	s.RTCP(compound(sr(1, 5<<32|7, 0), &rtcp.SourceDescription{}, sr(2, 6, 0), sr(3, 7, 0)))
	s.RTCP(compound(&rtcp.ReceiverReport{}, sr(1, 9<<32|9, 3)))
	if want := []fanout.SenderReport{{NTP: 5<<32 | 7, RTP: 8}, {NTP: 9<<32 | 9, RTP: 10}}; !slices.Equal(v.reports, want) {
		t.Errorf("reports: %v, want %v", v.reports, want)
	}
	whole := compound(sr(1, 1, 0))
	for _, b := range [][]byte{nil, whole[:27], whole[:8], {0x80, 200, 0, 0}, append([]byte{0x80, 200, 0, 1, 0, 0, 0, 1}, whole[:20]...), append([]byte{0}, whole[1:]...)} {
		s.RTCP(b)
	}
	if len(v.reports) != 2 {
		t.Errorf("reports that were cut short were passed on: %v", v.reports[2:])
	}
	// Transport-wide feedback that claims to be of 65535 packets, again and again, in chunks of two bytes.
	bomb := append([]byte{0x8f, 205, 0, 0}, make([]byte, 1400)...)
	binary.BigEndian.PutUint16(bomb[2:], uint16(len(bomb)/4-1))
	binary.BigEndian.PutUint16(bomb[14:], 0xffff)
	for at := 20; at+2 <= len(bomb); at += 2 {
		binary.BigEndian.PutUint16(bomb[at:], 0x3fff) // so many came
	}
	flood := bytes.Repeat(whole, 50)
	if n := testing.AllocsPerRun(100, func() {
		s.RTCP(bomb)
		s.RTCP(flood[:28])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	s.RTCP(flood)
}

// TestJumps: of numbers, with every packet, in media and in transport-wide numbers.
func TestJumps(t *testing.T) {
	s := newNode(t).publish(t, offer(section("audio", "0"), section("video", "1")))
	v := s.watch("video0")
	for i := range 2000 {
		s.send(sent{ssrc: 1, pt: 96, seq: uint16(i * 999), mid: "1", wide: uint16(1 + i*32767)}, sent{ssrc: 2, pt: 97, seq: uint16(i * 31), mid: "1", osn: uint16(i * 7919)})
	}
	if len(v.seqs()) == 0 || s.accounts() != 2 {
		t.Errorf("%d packets came, %d accounts", len(v.seqs()), s.accounts())
	}
}

// TestRemoval: a track goes and comes back while its packets come.
func TestRemoval(t *testing.T) {
	s := newNode(t).publish(t, offer(section("audio", "0"), section("video", "1")))
	both, off := offer(section("audio", "0"), section("video", "1")), offer(section("audio", "0"), section("video", "1", "a=inactive"))
	s.send(sent{ssrc: 1, pt: 96, seq: 1, mid: "1"}, sent{ssrc: 2, pt: 97, seq: 1, mid: "1"})
	s.again(off)
	if n := s.send(sent{ssrc: 1, pt: 96, seq: 2, mid: "1"}, sent{ssrc: 2, pt: 97, seq: 2}, sent{ssrc: 9, pt: 96, seq: 2}); n != 0 {
		t.Errorf("%d packets of a removed track were taken", n)
	}
	if len(s.Tracks()) != 1 {
		t.Errorf("tracks: %v", s.Tracks())
	}
	s.again(both)
	v := s.watch("video0")
	s.send(sent{ssrc: 1, pt: 96, seq: 3, mid: "1"}, sent{ssrc: 2, pt: 97, seq: 3, osn: 2})
	if got := v.seqs(); !slices.Equal(got, []uint16{3, 2}) {
		t.Errorf("after it came back: %v", got)
	}
	var work sync.WaitGroup
	ended := make(chan struct{})
	for ssrc := range uint32(2) {
		work.Go(func() {
			for i := uint16(0); ; i++ {
				select {
				case <-ended:
					return
				default:
					s.send(sent{ssrc: ssrc + 1, pt: 96 + uint8(ssrc), seq: i, mid: "1", osn: i - 5, wide: i})
					s.RTCP([]byte{0x80, 200, 0, 6, 0, 0, 0, 1, 27: 0})
				}
			}
		})
	}
	for range 30 {
		s.again(off)
		s.again(both)
	}
	s.Close()
	close(ended)
	work.Wait()
	if s.send(sent{ssrc: 1, pt: 96, seq: 4, mid: "1"}) != 0 {
		t.Error("after the end a packet was taken")
	}
	s.again(both)
	if n := len(s.inputs[1].streams); n > 0 && s.inputs[1].streams[""].Stats().Sinks > 0 {
		t.Errorf("%d streams are open after the end", n)
	}
}

// TestNoAllocations: from the socket's buffer to the stream, for media and for what is sent again.
func TestNoAllocations(t *testing.T) {
	s := newNode(t).publish(t, offer(section("audio", "0"), section("video", "1")))
	const runs = 2000
	for name, of := range map[string]func(i int) sent{
		"media": func(i int) sent { return sent{ssrc: 1, pt: 96, seq: uint16(i + 1), mid: "1", wide: uint16(i + 1)} },
		"RTX": func(i int) sent {
			return sent{ssrc: 2, pt: 97, seq: uint16(i), mid: "1", osn: uint16(i - 3000), wide: uint16(i + 1)}
		},
		"of nobody, by MID": func(i int) sent { return sent{ssrc: 3, pt: 96, seq: uint16(i), mid: "7", wide: uint16(i + 1)} },
	} {
		for _, profile := range []srtp.ProtectionProfile{srtp.ProtectionProfileAeadAes128Gcm, srtp.ProtectionProfileAes128CmHmacSha1_80} {
			salt, err := profile.SaltLen()
			if err != nil {
				t.Fatal(err)
			}
			key := slices.Repeat([]byte{1}, 16)
			keys := &srtp.Config{Profile: profile, Keys: srtp.SessionKeys{RemoteMasterKey: key, RemoteMasterSalt: key[:salt]}}
			theirs, err := srtp.CreateContext(key, key[:salt], profile)
			if err != nil {
				t.Fatal(err)
			}
			s.send(sent{ssrc: 1, pt: 96, seq: 0, mid: "1"})
			var packets [][]byte
			for i := range runs + 2 {
				b, err := theirs.EncryptRTP(nil, of(i).raw(t), &rtp.Header{})
				if err != nil {
					t.Fatal(err)
				}
				packets = append(packets, b)
			}
			in := inbound.New(new(udpio.Mux).Path())
			in.Deliver(s)
			if err := in.Open(keys); err != nil {
				t.Fatal(err)
			}
			at := 0
			next := func() {
				in.Take(packets[at])
				in.Taken()
				at++
			}
			next()
			if n := testing.AllocsPerRun(runs, next); n != 0 {
				t.Errorf("%s, %v: %v allocations per packet", name, profile, n)
			}
			in.Close()
		}
	}
}
