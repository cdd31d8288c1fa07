package storm

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// mallory is a publisher of video put together from its parts, with a session like anybody's: what she sends is authentic, but nobody
// looks at it before it leaves. She is the test's goroutine's.
type mallory struct {
	*stage
	conn *ice.Conn
	keys *srtp.Context
	dtls *dtls.Conn
	at   netip.AddrPort // where her packets come from
	seq  uint16
}

// What is in her offer.
const (
	malloryType = 96
	mallorySSRC = 0x6d616c
)

// malloryMid is the number of the extension that names the section in her offer.
const malloryMid = 1

const malloryOffer = `v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=msid:s v
a=ssrc:7168364 cname:mallory
a=setup:actpass
a=fingerprint:sha-256 %s
a=ice-ufrag:%s
a=ice-pwd:%s
%s`

// mallory opens her session in a room and returns when she is connected.
func (s *stage) mallory(room string) *mallory {
	s.Helper()
	m := &mallory{stage: s}
	cert, err := selfsign.GenerateSelfSigned()
	if err != nil {
		s.Fatal(err)
	}
	agent, candidates := m.gather()
	ufrag, pwd, err := agent.GetLocalUserCredentials()
	if err != nil {
		s.Fatal(err)
	}
	offer := fmt.Sprintf(malloryOffer, fingerprint(cert), ufrag, pwd, candidates)
	resp, err := s.http.Post(s.url()+"/pub/"+room+"/mallory", "application/sdp", strings.NewReader(strings.ReplaceAll(offer, "\n", "\r\n")))
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated {
		s.Fatalf("%s, %v: %s", resp.Status, err, answer)
	}
	m.connect(agent, cert, string(answer))
	pair, err := agent.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		s.Fatalf("no pair of candidates: %v", err)
	}
	m.at = netip.AddrPortFrom(netip.MustParseAddr(pair.Local.Address()), uint16(pair.Local.Port())) //nolint:gosec // a port
	return m
}

// gather makes her ICE agent and the lines of its candidates.
func (m *mallory) gather() (agent *ice.Agent, lines string) {
	m.Helper()
	agent, err := ice.NewAgentWithOptions(ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}), ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled))
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { _ = agent.GracefulClose() })
	done := make(chan struct{})
	if err := agent.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(done)
		} else {
			lines += "a=candidate:" + c.Marshal() + "\n"
		}
	}); err != nil {
		m.Fatal(err)
	}
	if err := agent.GatherCandidates(); err != nil {
		m.Fatal(err)
	}
	<-done
	return agent, lines
}

// connect does what the answer says.
func (m *mallory) connect(agent *ice.Agent, cert tls.Certificate, answer string) {
	m.Helper()
	line := func(name string) string {
		found := regexp.MustCompile(`a=` + name + `:(\S+)`).FindStringSubmatch(answer)
		if found == nil {
			m.Fatalf("no %s in the answer: %s", name, answer)
		}
		return found[1]
	}
	for _, c := range regexp.MustCompile(`a=candidate:(.*)\r\n`).FindAllStringSubmatch(answer, -1) {
		candidate, err := ice.UnmarshalCandidate(c[1])
		if err == nil {
			err = agent.AddRemoteCandidate(candidate)
		}
		if err != nil {
			m.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(m.Context(), joinLimit)
	defer cancel()
	var err error
	if m.conn, err = agent.Dial(ctx, line("ice-ufrag"), line("ice-pwd")); err != nil {
		m.Fatalf("mallory's ICE: %v", err)
	}
	secure, err := dtls.ClientWithOptions(dtlsnet.PacketConnFromConn(onlyDTLS{m.conn}), m.conn.RemoteAddr(), dtls.WithCertificates(cert),
		dtls.WithInsecureSkipVerify(true), dtls.WithSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80))
	if err == nil {
		err = secure.HandshakeContext(ctx)
	}
	if err != nil {
		m.Fatalf("mallory's DTLS: %v", err)
	}
	m.dtls = secure
	m.Cleanup(m.leave)
	state, _ := secure.ConnectionState()
	config := srtp.Config{Profile: srtp.ProtectionProfileAes128CmHmacSha1_80}
	if err := config.ExtractSessionKeysFromDTLS(&state, true); err != nil {
		m.Fatal(err)
	}
	if m.keys, err = srtp.CreateContext(config.Keys.LocalMasterKey, config.Keys.LocalMasterSalt, config.Profile); err != nil {
		m.Fatal(err)
	}
}

// leave ends her session with a close_notify. It may be called more than once.
func (m *mallory) leave() { _ = m.dtls.Close() }

// onlyDTLS leaves out what else arrives (RFC 7983 section 7).
type onlyDTLS struct{ net.Conn }

// Read implements net.Conn.
func (c onlyDTLS) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || n > 0 && b[0] >= 20 && b[0] < 64 {
			return n, err
		}
	}
}

func fingerprint(cert tls.Certificate) string {
	sum := sha256.Sum256(cert.Certificate[0])
	var hex []string
	for _, b := range sum {
		hex = append(hex, fmt.Sprintf("%02X", b))
	}
	return strings.Join(hex, ":")
}

// packet is her next one as it should be: a key frame of VP8 (RFC 7741 section 4).
func (m *mallory) packet() *rtp.Packet {
	m.seq++
	return &rtp.Packet{
		Header:  rtp.Header{Version: 2, SSRC: mallorySSRC, PayloadType: malloryType, SequenceNumber: m.seq, Timestamp: uint32(m.seq) * 3000, Marker: true},
		Payload: []byte{0x10, 0, 0, 0, 0x9d, 1, 0x2a, 1, 2, 3, 4, 5, 6, 7, 8},
	}
}

// bytes are a packet as it is to be encrypted.
func (m *mallory) bytes(p *rtp.Packet) []byte {
	m.Helper()
	b, err := p.Marshal()
	if err != nil {
		m.Fatal(err)
	}
	return b
}

// send encrypts and sends what has at least the header of an RTP packet.
func (m *mallory) send(b []byte) {
	m.Helper()
	encrypted, err := m.keys.EncryptRTP(nil, b, nil)
	if err == nil {
		_, err = m.conn.Write(encrypted)
	}
	if err != nil {
		m.Fatalf("mallory cannot send: %v", err)
	}
}
