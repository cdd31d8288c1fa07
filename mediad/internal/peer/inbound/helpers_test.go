package inbound

import (
	"bytes"
	"log/slog"
	"slices"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"go.uber.org/goleak"

	"weever/mediad/internal/udpio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// profiles are those that the node offers.
func profiles() []srtp.ProtectionProfile {
	return []srtp.ProtectionProfile{srtp.ProtectionProfileAeadAes128Gcm, srtp.ProtectionProfileAes128CmHmacSha1_80}
}

// keysOf are those of a connection, as the node has them; who has them the other way round gives another number.
func keysOf(tb testing.TB, profile srtp.ProtectionProfile, theirs byte) *srtp.Config {
	tb.Helper()
	size, err := profile.KeyLen()
	if err != nil {
		tb.Fatal(err)
	}
	salt, err := profile.SaltLen()
	if err != nil {
		tb.Fatal(err)
	}
	key := func(b byte, n int) []byte { return slices.Repeat([]byte{b}, n) }
	return &srtp.Config{Profile: profile, Keys: srtp.SessionKeys{
		LocalMasterKey: key(1, size), LocalMasterSalt: key(1, salt), RemoteMasterKey: key(theirs, size), RemoteMasterSalt: key(theirs, salt),
	}}
}

// encrypter is how a publisher encrypts.
func encrypter(tb testing.TB, keys *srtp.Config, options ...srtp.ContextOption) *srtp.Context {
	tb.Helper()
	c, err := srtp.CreateContext(keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt, keys.Profile, options...)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// publisher is both ends: who encrypts, and the Receiver with what it has handed on.
type publisher struct {
	tb   testing.TB
	mux  *udpio.Mux
	keys *srtp.Config
	srtp *srtp.Context
	in   *Receiver

	unknown   bool // what comes is of no track
	rtp, rtcp [][]byte
	done      int
}

func (p *publisher) RTP(packet []byte) bool {
	p.rtp = append(p.rtp, bytes.Clone(packet))
	return !p.unknown
}
func (p *publisher) RTCP(packet []byte) { p.rtcp = append(p.rtcp, bytes.Clone(packet)) }
func (p *publisher) Done()              { p.done++ }

func newPublisher(tb testing.TB, profile srtp.ProtectionProfile) *publisher {
	tb.Helper()
	mux, err := udpio.Listen(udpio.Config{Interfaces: []string{"lo"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = mux.Close() })
	p := &publisher{tb: tb, mux: mux, keys: keysOf(tb, profile, 2), in: New(mux.Path())}
	p.srtp = encrypter(tb, p.keys)
	return p
}

// open makes the Receiver take what comes.
func (p *publisher) open() *publisher {
	p.tb.Helper()
	p.in.Deliver(p)
	if err := p.in.Open(p.keys); err != nil {
		p.tb.Fatal(err)
	}
	return p
}

// media is a packet, and the same encrypted.
func (p *publisher) media(h rtp.Header, payload []byte) (plain, secret []byte) {
	p.tb.Helper()
	h.Version = 2
	plain, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	if err != nil {
		p.tb.Fatal(err)
	}
	if secret, err = p.srtp.EncryptRTP(nil, plain, nil); err != nil {
		p.tb.Fatal(err)
	}
	return plain, secret
}

// report is the same of RTCP.
func (p *publisher) report(packets ...rtcp.Packet) (plain, secret []byte) {
	p.tb.Helper()
	plain, err := rtcp.Marshal(packets)
	if err != nil {
		p.tb.Fatal(err)
	}
	if secret, err = p.srtp.EncryptRTCP(nil, plain, nil); err != nil {
		p.tb.Fatal(err)
	}
	return plain, secret
}

// take gives a packet to the Receiver as the socket's reader does: another one stands behind it in the same buffer.
func (p *publisher) take(packet []byte) {
	p.tb.Helper()
	behind := slices.Repeat([]byte{0xee}, 64)
	buffer := slices.Concat(packet, behind)
	p.in.Take(buffer[:len(packet)])
	p.in.Taken()
	if !bytes.Equal(buffer[len(packet):], behind) {
		p.tb.Fatal("the packet behind was written over")
	}
}

// drops is how much was refused, by reason.
func (p *publisher) drops() map[udpio.Drop]uint64 {
	out := map[udpio.Drop]uint64{}
	for _, d := range []udpio.Drop{udpio.MediaInvalid, udpio.MediaSenders, udpio.MediaUnknown, udpio.FeedbackInvalid, udpio.FeedbackSenders} {
		out[d] = p.mux.Drops(d)
	}
	return out
}
