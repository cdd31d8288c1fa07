package icesession

import (
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
)

// An offer that was written before an ICE restart and comes after it means the present session; all others say what they say.
func TestAnOfferThatCrossedARestart(t *testing.T) {
	pc, s := answered(t)
	serve(t, s)
	s.Settle()
	before := pc.RemoteDescription().SDP
	if got := s.Present(before); got != before {
		t.Errorf("an offer of the present session was changed:\n%s", got)
	}
	second := fragment(t, "second")
	if _, err := s.Patch(t.Context(), Request{Fragment: second, IfMatch: "*"}); err != nil {
		t.Fatal(err)
	}
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(s.Present(before)); err != nil {
		t.Fatal(err)
	}
	if u, p := lookup(&desc, "ice-ufrag"), lookup(&desc, "ice-pwd"); u != second.Ufrag || p != second.Pwd {
		t.Errorf("it has the credentials %s and %s", u, p)
	}
	for name, text := range map[string]string{
		"an offer that restarts ICE itself": strings.ReplaceAll(pc.RemoteDescription().SDP, "second", "third"),
		"no offer":                          "hello",
	} {
		if got := s.Present(text); got != text {
			t.Errorf("%s was changed:\n%s", name, got)
		}
	}
}

// rejectedFirst puts a rejected section with other credentials before what an offer has.
func rejectedFirst(offer string) string {
	return strings.Replace(offer, "m=", "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:gone\r\na=ice-ufrag:stale\r\na=ice-pwd:stale\r\nm=", 1)
}

// A section that was rejected may still carry credentials; they are not those of the session.
func TestRejectedSectionsSayNothing(t *testing.T) {
	for offer, want := range map[string]string{
		"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:now\r\n":                                     "now",
		"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:all\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n":                                     "all",
		"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\na=bundle-only\r\na=ice-ufrag:bundled\r\nm=audio 9 UDP/TLS/RTP/SAVPF 1\r\n": "bundled",
	} {
		for _, text := range []string{offer, rejectedFirst(offer)} {
			var desc sdp.SessionDescription
			if err := desc.UnmarshalString(text); err != nil {
				t.Fatal(err)
			}
			if got := lookup(&desc, "ice-ufrag"); got != want {
				t.Errorf("%q, want %q:\n%s", got, want, text)
			}
		}
	}
}

// lookupText is the user name of a description.
func lookupText(t testing.TB, text string) string {
	t.Helper()
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(text); err != nil {
		t.Fatal(err)
	}
	return lookup(&desc, "ice-ufrag")
}

// Whatever a client sends is returned as it is, or is a description of the present session.
func FuzzPresent(f *testing.F) {
	pc, s := answered(f)
	serve(f, s)
	s.Settle()
	before := pc.RemoteDescription().SDP
	second := fragment(f, "second")
	if _, err := s.Patch(f.Context(), Request{Fragment: second, IfMatch: "*"}); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", "hello", before, rejectedFirst(before), pc.RemoteDescription().SDP, strings.ReplaceAll(before, "a=", "b="),
		before + "m=x", strings.ReplaceAll(before, "m=application 9", "m=application 0"),
		strings.ReplaceAll(before, "m=application 9", "a=ice-ufrag:"+lookupText(f, before)+"\r\nm=application 0"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, offer string) {
		got := s.Present(offer)
		if got == offer {
			return
		}
		var desc sdp.SessionDescription
		if err := desc.UnmarshalString(got); err != nil {
			t.Fatalf("it cannot be read any more: %v\n%s", err, got)
		}
		if u, p := lookup(&desc, "ice-ufrag"), lookup(&desc, "ice-pwd"); u != second.Ufrag || p != second.Pwd {
			t.Errorf("it has the credentials %s and %s:\n%s", u, p, got)
		}
	})
}
