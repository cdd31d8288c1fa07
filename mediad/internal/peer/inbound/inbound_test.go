package inbound

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"weever/mediad/internal/udpio"
)

func TestDecryption(t *testing.T) {
	for _, profile := range profiles() {
		t.Run(profile.String(), func(t *testing.T) {
			p := newPublisher(t, profile).open()
			var media, reports [][]byte
			for i := range 200 {
				h := rtp.Header{SSRC: uint32(i % 3), SequenceNumber: uint16(65500 + i/3), PayloadType: 96, Timestamp: uint32(i), Marker: i%2 == 0}
				switch i % 4 {
				case 1:
					h.CSRC = []uint32{1, 2, 3}
				case 2:
					if err := h.SetExtension(5, []byte{1, 2, 3}); err != nil {
						t.Fatal(err)
					}
				case 3:
					if err := h.SetExtension(200, bytes.Repeat([]byte{7}, 30)); err != nil {
						t.Fatal(err)
					}
				}
				plain, secret := p.media(h, bytes.Repeat([]byte{byte(i)}, i*7))
				media = append(media, plain)
				p.take(secret)
				plain, secret = p.report(&rtcp.SenderReport{SSRC: uint32(i % 5)}, &rtcp.PictureLossIndication{MediaSSRC: uint32(i)})
				reports = append(reports, plain)
				p.take(secret)
			}
			if !slices.EqualFunc(p.rtp, media, bytes.Equal) || !slices.EqualFunc(p.rtcp, reports, bytes.Equal) || p.done != 400 {
				t.Errorf("%d packets and %d reports were handed on, %d times", len(p.rtp), len(p.rtcp), p.done)
			}
			for d, n := range p.drops() {
				if n != 0 {
					t.Errorf("%v: %d", d, n)
				}
			}
		})
	}
}

// TestTheBufferIsItsOwn: a packet is decrypted where it stands.
func TestTheBufferIsItsOwn(t *testing.T) {
	for _, profile := range profiles() {
		p := newPublisher(t, profile).open()
		plain, secret := p.media(rtp.Header{SSRC: 1}, []byte("hello"))
		p.in.Take(secret)
		if !bytes.Equal(secret[:len(plain)], plain) {
			t.Errorf("%v: the buffer has % x", profile, secret)
		}
	}
}

// TestReportsInTheClear: RFC 3711 section 3.4 lets a peer leave SRTCP unencrypted, but not unauthenticated.
func TestReportsInTheClear(t *testing.T) {
	for _, profile := range profiles() {
		p := newPublisher(t, profile).open()
		p.srtp = encrypter(t, p.keys, srtp.SRTCPNoEncryption())
		for i := range 20 {
			plain, secret := p.report(&rtcp.SenderReport{SSRC: 9, PacketCount: uint32(i)})
			if i%2 == 1 {
				secret[10] ^= 1
			}
			p.take(secret)
			if got := len(p.rtcp); got != i/2+1 || i%2 == 0 && !bytes.Equal(p.rtcp[got-1], plain) {
				t.Fatalf("%v, report %d: %d were handed on", profile, i, got)
			}
		}
	}
}

// TestNothingIsHandedOn before there are keys and somebody to take it, and after the end.
func TestNothingIsHandedOn(t *testing.T) {
	p := newPublisher(t, srtp.ProtectionProfileAeadAes128Gcm)
	try := func(when string, refused uint64) {
		t.Helper()
		p.rtp, p.rtcp = nil, nil
		_, media := p.media(rtp.Header{SSRC: 1, SequenceNumber: 7}, []byte("hello"))
		_, report := p.report(&rtcp.SenderReport{SSRC: 1})
		p.take(media)
		p.take(report)
		if d := p.drops(); len(p.rtp)+len(p.rtcp) != 0 || d[udpio.MediaInvalid] != refused || d[udpio.FeedbackInvalid] != refused {
			t.Errorf("%s: %d packets were handed on, refused %v", when, len(p.rtp)+len(p.rtcp), d)
		}
	}
	try("at the beginning", 1)
	if err := p.in.Open(p.keys); err != nil {
		t.Fatal(err)
	}
	try("with nobody to take it", 2)
	p.in.Close()
	p.in.Deliver(p)
	try("without keys", 3)
	p.srtp = encrypter(t, p.keys)
	p.open()
	_, media := p.media(rtp.Header{SSRC: 1, SequenceNumber: 7}, []byte("hello"))
	p.take(media)
	if len(p.rtp) != 1 {
		t.Error("nothing is handed on when all is there")
	}
	p.in.Close()
	p.in.Close()
	try("after the end", 4)
	bad := *p.keys
	bad.Keys.RemoteMasterKey = []byte{1}
	if err := p.in.Open(&bad); err == nil {
		t.Error("keys of one byte were taken")
	}
}

// TestRefusals: what is not the publisher's is counted, goes nowhere, and leaves no trace.
func TestRefusals(t *testing.T) {
	for _, profile := range profiles() {
		t.Run(profile.String(), func(t *testing.T) {
			p := newPublisher(t, profile).open()
			other := encrypter(t, keysOf(t, profile, 3))
			h := rtp.Header{SSRC: 1, SequenceNumber: 1}
			plain, media := p.media(h, []byte("hello"))
			plainReport, report := p.report(&rtcp.SenderReport{SSRC: 1})
			p.take(media)
			p.take(report)
			foreign, err := other.EncryptRTP(nil, plain, nil)
			if err != nil {
				t.Fatal(err)
			}
			foreignReport, err := other.EncryptRTCP(nil, plainReport, nil)
			if err != nil {
				t.Fatal(err)
			}
			flip := func(b []byte, at int) []byte {
				b = bytes.Clone(b)
				b[at] ^= 1
				return b
			}
			h.SequenceNumber = 2
			_, next := p.media(h, []byte("hello"))
			_, nextReport := p.report(&rtcp.SenderReport{SSRC: 1})
			_, long := p.media(h, make([]byte, maxPacket))
			for name, c := range map[string]struct {
				packet []byte
				why    udpio.Drop
			}{
				"replayed":                  {media, udpio.MediaInvalid},
				"of another's keys":         {foreign, udpio.MediaInvalid},
				"another payload":           {flip(next, 13), udpio.MediaInvalid},
				"another header":            {flip(next, 4), udpio.MediaInvalid},
				"another SSRC":              {flip(next, 11), udpio.MediaInvalid},
				"another tag":               {flip(next, len(next)-1), udpio.MediaInvalid},
				"cut short":                 {next[:len(next)-1], udpio.MediaInvalid},
				"a header alone":            {next[:12], udpio.MediaInvalid},
				"less":                      {next[:11], udpio.MediaInvalid},
				"nothing":                   {nil, udpio.MediaInvalid},
				"an extension cut short":    {append([]byte{0x90}, next[1:]...), udpio.MediaInvalid},
				"too long":                  {long, udpio.MediaInvalid},
				"a report replayed":         {report, udpio.FeedbackInvalid},
				"a report of other keys":    {foreignReport, udpio.FeedbackInvalid},
				"another report":            {flip(nextReport, 9), udpio.FeedbackInvalid},
				"a report of another":       {flip(nextReport, 7), udpio.FeedbackInvalid},
				"another index of a report": {flip(nextReport, len(nextReport)-1), udpio.FeedbackInvalid},
				"a report cut short":        {nextReport[:len(nextReport)-1], udpio.FeedbackInvalid},
				"a report's header":         {nextReport[:8], udpio.FeedbackInvalid},
				"a long report":             {append(bytes.Clone(nextReport), make([]byte, maxPacket)...), udpio.FeedbackInvalid},
			} {
				before := p.drops()
				p.take(bytes.Clone(c.packet))
				for d, n := range p.drops() {
					if want := before[d] + map[bool]uint64{true: 1}[d == c.why]; n != want {
						t.Errorf("%s: %v is %d, want %d", name, d, n, want)
					}
				}
			}
			for i := range uint32(10_000) { // somebody who can write the peer's address on his packets
				forged := bytes.Clone(next)
				binary.BigEndian.PutUint32(forged[8:], i+2)
				p.in.Take(forged)
			}
			if len(p.in.sources) != 1 {
				t.Errorf("%d sources are remembered", len(p.in.sources))
			}
			if len(p.rtp) != 1 || len(p.rtcp) != 1 {
				t.Errorf("%d packets and %d reports were handed on", len(p.rtp), len(p.rtcp))
			}
			p.take(next) // it is not taken for replayed
			p.take(nextReport)
			if len(p.rtp) != 2 || len(p.rtcp) != 2 {
				t.Errorf("after that %d packets and %d reports were handed on", len(p.rtp), len(p.rtcp))
			}
		})
	}
}

// TestOvertaking: a packet that was sent again without RTX may come late, but not twice.
func TestOvertaking(t *testing.T) {
	for _, profile := range profiles() {
		p := newPublisher(t, profile).open()
		var secrets [][]byte
		for i := range replayWindow + 500 {
			_, b := p.media(rtp.Header{SSRC: 1, SequenceNumber: uint16(65000 + i)}, []byte{1})
			secrets = append(secrets, b)
		}
		for i := range secrets {
			if i%2 == 0 || i == len(secrets)-1 {
				p.take(bytes.Clone(secrets[i]))
			}
		}
		before := len(p.rtp)
		for _, c := range []struct {
			at int
			ok bool
		}{{len(secrets) - replayWindow + 1, true}, {len(secrets) - 3, true}, {len(secrets) - 3, false}, {1, false}} {
			p.take(bytes.Clone(secrets[c.at]))
			if got := len(p.rtp) > before; got != c.ok {
				t.Errorf("%v: packet %d of %d taken: %v", profile, c.at, len(secrets), got)
			}
			before = len(p.rtp)
		}
	}
}

// TestSendersAreBounded: the state of each is kept.
func TestSendersAreBounded(t *testing.T) {
	p := newPublisher(t, srtp.ProtectionProfileAeadAes128Gcm).open()
	const all = 10_000
	for i := range uint32(all) {
		_, b := p.media(rtp.Header{SSRC: i, SequenceNumber: 1}, []byte{1})
		p.take(b)
	}
	_, report := p.report(&rtcp.SenderReport{SSRC: all})
	p.take(report)
	_, known := p.report(&rtcp.SenderReport{SSRC: 0})
	p.take(known)
	d := p.drops()
	if len(p.rtp) != maxSources || len(p.in.sources) != maxSources || d[udpio.MediaSenders] != all-maxSources {
		t.Errorf("of %d senders %d were heard, %d remembered, %d refused", all, len(p.rtp), len(p.in.sources), d[udpio.MediaSenders])
	}
	if len(p.rtcp) != 1 || d[udpio.FeedbackSenders] != 1 {
		t.Errorf("%d reports were heard, %d refused", len(p.rtcp), d[udpio.FeedbackSenders])
	}
}

// TestUnknownMedia: it is counted, and a sender all the same.
func TestUnknownMedia(t *testing.T) {
	p := newPublisher(t, srtp.ProtectionProfileAeadAes128Gcm).open()
	p.unknown = true
	_, b := p.media(rtp.Header{SSRC: 1}, []byte{1})
	p.take(b)
	if d := p.drops(); d[udpio.MediaUnknown] != 1 || d[udpio.MediaInvalid] != 0 || len(p.in.sources) != 1 {
		t.Errorf("%v", d)
	}
}

// TestTwoReaders: packets may come over two of the node's addresses, while the connection begins and ends.
func TestTwoReaders(t *testing.T) {
	p := newPublisher(t, srtp.ProtectionProfileAeadAes128Gcm)
	var secrets [2][][]byte
	for n := range secrets {
		for i := range 500 {
			_, b := p.media(rtp.Header{SSRC: uint32(n), SequenceNumber: uint16(i)}, []byte{1})
			secrets[n] = append(secrets[n], b)
		}
	}
	p.open()
	var readers sync.WaitGroup
	for n := range secrets {
		readers.Go(func() {
			for i, b := range secrets[n] {
				p.in.Take(b)
				if i%10 == 0 {
					p.in.Taken()
				}
			}
		})
	}
	readers.Go(func() {
		for range 10 {
			p.in.Close()
			p.in.Deliver(p)
			if err := p.in.Open(p.keys); err != nil {
				t.Error(err)
			}
		}
	})
	readers.Wait()
	p.in.Close()
	if n := uint64(len(p.rtp)) + p.mux.Drops(udpio.MediaInvalid); n != 1000 {
		t.Errorf("%d of 1000 packets are accounted for", n)
	}
}

// FuzzMedia: an authentic publisher may still say anything.
func FuzzMedia(f *testing.F) {
	p := newPublisher(f, srtp.ProtectionProfileAeadAes128Gcm)
	plain, _ := p.media(rtp.Header{SSRC: 1, PayloadType: 96, Padding: true, PaddingSize: 3}, []byte("hello"))
	f.Add(plain)
	plain, _ = p.report(&rtcp.SenderReport{SSRC: 1}, &rtcp.TransportLayerNack{Nacks: []rtcp.NackPair{{PacketID: 1}}})
	f.Add(plain)
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x12, 1, 2, 3, 4})
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xc0, 0xde, 0, 1, 0, 0, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, profile := range profiles() {
			p := &publisher{tb: t, mux: p.mux, keys: keysOf(t, profile, 2), in: New(p.mux.Path())}
			p.srtp = encrypter(t, p.keys)
			p.open()
			p.take(b)
			if len(p.rtp)+len(p.rtcp) > 0 {
				t.Fatal("what nobody encrypted was handed on")
			}
			if secret, err := p.srtp.EncryptRTP(nil, b, nil); err == nil && len(secret) <= maxPacket && (b[1] < 192 || b[1] > 223) {
				p.take(secret)
				if cryptex := bytes.Contains(b, []byte{0xc0, 0xde}); len(p.rtp) != 1 && !cryptex || len(p.rtp) == 1 && !bytes.Equal(p.rtp[0], b) { // RFC 9335 is not negotiated
					t.Fatalf("% x was handed on as % x", b, p.rtp)
				}
			}
			if secret, err := p.srtp.EncryptRTCP(nil, b, nil); err == nil && len(secret) <= maxPacket && b[1] >= 192 && b[1] <= 223 {
				p.take(secret)
				if len(p.rtcp) != 1 || !bytes.Equal(p.rtcp[0], b) {
					t.Fatalf("% x was handed on as % x", b, p.rtcp)
				}
			}
			p.in.Close()
		}
	})
}
