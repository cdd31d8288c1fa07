package peer

import (
	"errors"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"weever/shared/apierr"
	"weever/shared/room"
)

// bundleOnly is a section as JSEP writes it: no transport of its own (RFC 8829 section 5.2.1).
func bundleOnly(mid string) string {
	return "m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=bundle-only\r\na=mid:" + mid + "\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n"
}

func refused(t *testing.T, err error, want apierr.Code) {
	t.Helper()
	var e *apierr.Error
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (!errors.As(err, &e) || e.Code != want):
		t.Errorf("got %v, want %s", err, want)
	}
}

// The transport stands at the tagged section alone, and what passes is answered.
func TestBundleOnly(t *testing.T) {
	t.Parallel()
	f := factory(t)
	good := head + audio("0", "sendonly") + bundleOnly("1")
	for name, c := range map[string]struct {
		sdp  string
		want apierr.Code
	}{
		"bundle-only":                   {good, ""},
		"tagged by the group":           {strings.Replace(head, "0 1", "1 0", 1) + bundleOnly("0") + audio("1", "sendonly"), ""},
		"no ufrag at the tagged one":    {strings.Replace(good, "a=ice-ufrag", "a=x", 1), apierr.BadSDP},
		"no pwd at the tagged one":      {strings.Replace(good, "a=ice-pwd", "a=x", 1), apierr.BadSDP},
		"no fingerprint at the tagged":  {strings.Replace(good, "a=fingerprint", "a=x", 1), apierr.BadSDP},
		"no setup at the tagged one":    {strings.Replace(good, "a=setup", "a=x", 1), apierr.BadSDP},
		"no rtcp-mux at the tagged one": {strings.Replace(good, "a=rtcp-mux\r\n", "", 1), apierr.Unacceptable},
		"port 0 without bundle-only":    {strings.Replace(good, "a=bundle-only\r\n", "", 1), apierr.Unacceptable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := ParseOffer(room.Pub, c.sdp)
			refused(t, err, c.want)
			if err != nil {
				return
			}
			pc, err := f.Accept(o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = pc.Close() }()
			text, err := Answer(t.Context(), pc.PeerConnection)
			if err != nil {
				t.Fatal(err)
			}
			if got := Negotiated(text); len(got) != 2 {
				t.Errorf("answered sections: %v", got)
			}
		})
	}
}

func TestPublisherLimits(t *testing.T) {
	t.Parallel()
	many := func(n int) string {
		var mids, sections strings.Builder
		for i := range n {
			mid := string(rune('a' + i))
			mids.WriteString(" " + mid)
			sections.WriteString(audio(mid, "sendonly"))
		}
		return strings.Replace(head, " 0 1", mids.String(), 1) + sections.String()
	}
	one := head + audio("0", "sendonly") + video("1", "sendonly")
	fmtp := func(n int) string {
		line := "a=fmtp:96 x="
		return one + line + strings.Repeat("y", n-len("96 x=")) + "\r\n"
	}
	for name, c := range map[string]struct {
		sdp  string
		want apierr.Code
	}{
		"16 sections":   {many(16), ""},
		"17 sections":   {many(17), apierr.Unacceptable},
		"a doubled rid": {one + "a=simulcast:send a;b;a\r\n", apierr.Unacceptable},
		"rid _":         {one + "a=simulcast:send _;b\r\n", apierr.Unacceptable},
		"paused rid _":  {one + "a=simulcast:send ~_\r\n", apierr.Unacceptable},
		"long fmtp":     {fmtp(maxFmtp), ""},
		"longer fmtp":   {fmtp(maxFmtp + 1), apierr.Unacceptable},
	} {
		_, err := ParseOffer(room.Pub, c.sdp)
		t.Run(name, func(t *testing.T) { refused(t, err, c.want) })
	}
}

func TestParseRenegotiation(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"0": true, "1": true}
	a, v := audio("0", "sendonly"), video("1", "sendonly")
	three := strings.Replace(head, "0 1", "0 1 2", 1)
	only0 := strings.Replace(head, "0 1", "0", 1)
	stopped := "m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=inactive\r\na=rtpmap:96 VP8/90000\r\n"
	candidate := "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
	for name, c := range map[string]struct {
		known map[string]bool
		sdp   string
		want  apierr.Code
		off   string // mids
	}{
		"as before":                   {known, head + a + v, "", ""},
		"a track more":                {known, three + a + v + video("2", "sendonly") + candidate, "", ""},
		"a track removed":             {known, head + a + video("1", "inactive"), "", "1"},
		"a track that would receive":  {known, head + audio("0", "recvonly") + v, "", "0"},
		"a stopped transceiver":       {known, only0 + a + stopped, "", "1"},
		"one stopped, one more":       {known, strings.Replace(head, "0 1", "0 2", 1) + a + stopped + video("2", "sendonly"), "", "1"},
		"a data channel between":      {known, three + a + data("2") + v, "", ""},
		"data known, too":             {map[string]bool{"0": true, "1": true, "2": true}, three + a + v + data("2"), "", ""},
		"a place taken over":          {map[string]bool{"0": true, "1": false}, strings.Replace(head, "0 1", "0 2", 1) + a + video("2", "sendonly"), "", ""},
		"a place taken while in use":  {known, strings.Replace(head, "0 1", "0 2", 1) + a + video("2", "sendonly"), apierr.Unacceptable, ""},
		"a section left out":          {known, only0 + a, apierr.Unacceptable, ""},
		"a new one before the known":  {known, three + video("2", "sendonly") + a + v, apierr.Unacceptable, ""},
		"a new one that is inactive":  {known, three + a + v + video("2", "inactive"), apierr.Unacceptable, ""},
		"a new one that is stopped":   {map[string]bool{"0": true}, only0 + a + stopped, apierr.Unacceptable, ""},
		"everything under other mids": {known, strings.NewReplacer("BUNDLE 0 1", "BUNDLE x0 x1", "mid:", "mid:x").Replace(head + a + v), apierr.Unacceptable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := ParseRenegotiation(c.sdp, c.known)
			refused(t, err, c.want)
			if err != nil {
				return
			}
			off := ""
			for _, s := range o.Sections {
				if s.Off {
					off += s.Mid
				}
			}
			if off != c.off {
				t.Errorf("off: %q, want %q", off, c.off)
			}
			if strings.Contains(o.SDP, "a=candidate") {
				t.Error("candidates were kept")
			}
		})
	}
}

func TestWithoutCandidates(t *testing.T) {
	t.Parallel()
	text := head + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n" + audio("0", "recvonly") + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
	got := WithoutCandidates(text)
	if strings.Contains(got, "candidate") || !strings.Contains(got, "a=mid:0\r\n") {
		t.Error(got)
	}
	if got := WithoutCandidates("hello"); got != "hello" {
		t.Error(got)
	}
}

// answered is the node's answer to a publisher's offer.
func answered(t *testing.T, offer string) string {
	t.Helper()
	o, err := ParseOffer(room.Pub, offer)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := factory(t).Accept(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.Close() }()
	text, err := Answer(t.Context(), pc.PeerConnection)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A publisher that would rather send RED is answered with Opus, which is what everybody can be sent.
func TestRedIsNotNegotiated(t *testing.T) {
	t.Parallel()
	text := answered(t, strings.Replace(strings.Replace(head, "0 1", "0", 1)+audio("0", "sendonly"), "SAVPF 111", "SAVPF 63 111", 1)+
		"a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n")
	codecs := Negotiated(text)["0"].Codecs
	if strings.Contains(text, "red/48000") || len(codecs) != 1 || !strings.EqualFold(codecs[0].MimeType, webrtc.MimeTypeOpus) {
		t.Errorf("%v in\n%s", codecs, text)
	}
}
