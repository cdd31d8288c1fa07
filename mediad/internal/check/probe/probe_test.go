package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"go.uber.org/goleak"

	"weever/mediad/internal/client/clienttest"
	"weever/mediad/internal/client/whip"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/eventually"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOffersAreReadAsTheyAreMeant(t *testing.T) {
	t.Parallel()
	simulcast := Plain("sendonly")
	simulcast.Sections[1].Rids = []string{"h", "l"}
	for name, o := range map[string]Offer{
		"plain": Plain("sendonly"), "passive": Plain("recvonly").With("passive"), "many": Many("sendonly", 3, 4), "named": Plain("sendrecv").Mids("a", "b"),
		"simulcast": simulcast,
	} {
		text := o.SDP()
		a, err := ReadAnswer(text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		f, err := sdpfrag.FromSDP(text)
		if err != nil || f.Mid != o.Sections[0].Mid || len(f.Candidates) != 0 || f.Ufrag != a.Media[0].Ufrag || len(f.Pwd) < 22 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		if len(a.Media) != len(o.Sections) || len(a.Bundle) != len(o.Sections) || a.Rejects() || a.Options != "trickle" || a.Lite {
			t.Errorf("%s: %+v", name, a)
		}
		for i, m := range a.Media {
			s := o.Sections[i]
			if m.Kind != s.Kind || m.Mid != s.Mid || m.Direction != s.Direction || !m.Mux || !m.MuxOnly || !slices.Contains(m.Feedback, "transport-cc") {
				t.Errorf("%s: %+v", name, m)
			}
			if want := o.Setup; m.Setup != want && (want != "" || m.Setup != "actpass") {
				t.Errorf("%s: setup %s", name, m.Setup)
			}
		}
		if text == o.SDP() {
			t.Errorf("%s: two offers are equal", name)
		}
	}
	if m := must(t, simulcast.SDP()).Media[1]; m.Simulcast != "send h;l" || m.SimulcastRecv() != nil || must(t, simulcast.SDP()).VideoCodec() != "VP8" {
		t.Errorf("%+v", m)
	}
}

func must(t *testing.T, text string) *Answer {
	t.Helper()
	a, err := ReadAnswer(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const answer = `v=0
o=- 1 2 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
a=ice-lite
a=ice-options:ice2
a=ice-pacing:50
a=ice-ufrag:common
a=ice-pwd:0123456789012345678901
a=setup:passive
a=fingerprint:SHA-256 AB:CD
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=recvonly
a=rtcp-mux
a=rtcp-mux-only
a=msid:s t
a=candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype passive
a=candidate:2 1 udp 1 192.0.2.1 1000 typ host
a=candidate:2 2 udp 1 192.0.2.1 1000 typ host
a=candidate:3 1 udp 1 host.local 1000 typ host
a=candidate:4 1 udp 1 192.0.2.1 1000 typ host
m=video 0 UDP/TLS/RTP/SAVPF 97 102
a=mid:1
a=ice-ufrag:own
a=rtpmap:102 h264/90000
a=rtpmap:97 rtx/90000
a=rid:h recv
a=rid:l recv pt=102
a=rid:x send
a=simulcast:recv h,m;~l send x
m=video 0 UDP/TLS/RTP/SAVPF 97
a=mid:2
a=bundle-only
`

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	a := must(t, strings.ReplaceAll(answer, "\n", "\r\n"))
	if !a.Lite || a.Options != "ice2" || a.Pacing != "50" || !slices.Equal(a.Bundle, []string{"0", "1"}) || a.VideoCodec() != "H264" {
		t.Errorf("%+v", a)
	}
	audio, video := a.Media[0], a.Media[1]
	if audio.Ufrag != "common" || audio.Setup != "passive" || audio.Fingerprint != "sha-256 ab:cd" || audio.Msid != "s" || audio.Rejected || !audio.MuxOnly {
		t.Errorf("%+v", audio)
	}
	if video.Ufrag != "own" || video.Direction != "sendrecv" || !video.Rejected || video.Mux || !slices.Equal(video.RidsRecv, []string{"h", "l"}) || !slices.Equal(video.SimulcastRecv(), []string{"h", "l"}) {
		t.Errorf("%+v", video)
	}
	if a.Media[2].Rejected || !a.Rejects() || !slices.Equal(a.Each(func(m Media) string { return m.Ufrag }), []string{"common", "own"}) {
		t.Errorf("%+v", a.Media[2])
	}
	if hosts := a.Hosts(); !slices.Equal(hosts, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1000")}) || a.FirstIsUDPHost() {
		t.Errorf("%v", hosts)
	}
	for _, bad := range []string{"", "hello", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"} {
		if _, err := ReadAnswer(bad); !errors.Is(err, ErrSDP) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add(strings.ReplaceAll(answer, "\n", "\r\n"))
	f.Add(Plain("sendonly").SDP())
	f.Add("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 1\r\na=simulcast:recv\r\na=candidate:\r\na=rid: recv\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ReadAnswer(text)
		if err != nil {
			return
		}
		if len(a.Media) == 0 || len(a.Sections()) != len(a.Media) {
			t.Error("an answer without sections")
		}
		_, _, _ = a.Hosts(), a.FirstIsUDPHost(), a.VideoCodec()
		for _, m := range a.Media {
			_ = m.SimulcastRecv()
		}
	})
}

// agent is a STUN server that answers those who know the password, until it is told to be silent.
func agent(t *testing.T, l Login) (netip.AddrPort, *net.UDPConn) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			m := &stun.Message{Raw: buf[:n]}
			var name stun.Username
			if m.Decode() != nil || name.GetFrom(m) != nil || string(name) != l.Theirs+":"+l.Ours || stun.NewShortTermIntegrity(l.Pwd).Check(m) != nil {
				continue
			}
			// Somebody else's answer comes first: it must not be believed.
			forged, _ := stun.Build(m, stun.BindingSuccess, stun.NewShortTermIntegrity("another password"), stun.Fingerprint)
			_, _ = conn.WriteToUDPAddrPort(forged.Raw, from)
			reply, _ := stun.Build(m, stun.BindingSuccess, stun.NewShortTermIntegrity(l.Pwd), stun.Fingerprint)
			_, _ = conn.WriteToUDPAddrPort(reply.Raw, from)
		}
	}()
	return netip.MustParseAddrPort(conn.LocalAddr().String()), conn
}

func TestSocketAsks(t *testing.T) {
	t.Parallel()
	l := Login{Theirs: "server", Pwd: "0123456789012345678901", Ours: "client"}
	at, conn := agent(t, l)
	s, err := Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Addr().Addr().IsLoopback() {
		t.Errorf("at %s", s.Addr())
	}
	if ok, err := s.Ask(t.Context(), at, l); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	wrong := l
	wrong.Pwd = "another password 0123456789"
	began := time.Now()
	if ok, err := s.Ask(t.Context(), at, wrong); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if took := time.Since(began); took < askWait || took > 20*askWait {
		t.Errorf("gave up after %v", took)
	}
	_ = conn.Close()
	if ok, err := s.Ask(t.Context(), at, l); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Ask(ctx, at, l); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSocketHears(t *testing.T) {
	t.Parallel()
	loopback := netip.MustParseAddrPort("127.0.0.1:9")
	s, err := Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other, err := Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, junk := range []string{"", "junk", strings.Repeat("\x00", 40)} {
		if _, err := other.conn.WriteToUDPAddrPort([]byte(junk), s.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := s.Hears(t.Context(), "me", 20*time.Millisecond); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if ok, err := other.Ask(t.Context(), s.Addr(), Login{Theirs: "me", Ours: "you", Pwd: "x"}); ok || err != nil { // it never answers
		t.Errorf("%v, %v", ok, err)
	}
	for ufrag, want := range map[string]bool{"me": true, "m": false, "you": false} {
		if ok, err := s.Hears(t.Context(), ufrag, 50*time.Millisecond); ok != want || err != nil {
			t.Errorf("%s: %v, %v", ufrag, ok, err)
		}
	}
	if got := Candidate(s.Addr(), 7); !slices.Equal(Addresses([]string{got}), []netip.AddrPort{s.Addr()}) {
		t.Errorf("%s", got)
	}
}

// Media flows both ways over sessions whose HTTP is somebody else's.
func TestLive(t *testing.T) {
	t.Parallel()
	server := clienttest.New(t, "")
	post := func(path string) Exchange {
		return func(ctx context.Context, offer string) (string, error) {
			return whip.New(server.Client, "").Post(ctx, server.URL+path, offer)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p, err := Publish(ctx, post("/pub/r/alice"), "VP8")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Hangup()
	eventually.True(t, 20*time.Second, "feedback for the publisher", func() bool { return p.Received() > 0 && p.Feedback() > 0 })
	eventually.True(t, 20*time.Second, "the publisher to be live", func() bool { return server.Live("r", "alice") })
	v, err := Play(ctx, post("/sub/r/bob"))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Hangup()
	eventually.True(t, 20*time.Second, "packets for the player", func() bool { return v.Received() > 10 })

	failed := errors.New("refused")
	refuse := func(context.Context, string) (string, error) { return "", failed }
	if _, err := Publish(ctx, refuse, "VP8"); !errors.Is(err, failed) {
		t.Error(err)
	}
	if _, err := Play(ctx, refuse); !errors.Is(err, failed) {
		t.Error(err)
	}
}

func TestAcceptAnswersAnOffer(t *testing.T) {
	t.Parallel()
	offer := Plain("sendonly").SDP()
	if err := Accept(offer, func(text string) error {
		a, err := ReadAnswer(text)
		if err != nil {
			return err
		}
		if got := a.Each(func(m Media) string { return m.Direction }); !slices.Equal(got, []string{"recvonly"}) {
			t.Errorf("%v", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	failed := errors.New("refused")
	if err := Accept(offer, func(string) error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	if err := Accept("nonsense", func(string) error { return nil }); err == nil {
		t.Error("nonsense is answered")
	}
}
