package peer

import (
	"errors"
	"strings"
	"testing"

	"weever/shared/apierr"
	"weever/shared/room"
)

const head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"

func transportOf(mid string) string {
	return "c=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n" +
		"a=fingerprint:sha-256 " + strings.Repeat("AA:", 31) + "AA\r\na=setup:actpass\r\na=mid:" + mid + "\r\n"
}

func audio(mid, dir string) string {
	return "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" + transportOf(mid) + "a=" + dir + "\r\na=rtpmap:111 opus/48000/2\r\n"
}

func video(mid, dir string) string {
	return "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + transportOf(mid) + "a=" + dir + "\r\na=rtpmap:96 VP8/90000\r\n"
}

func data(mid string) string {
	return "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" + transportOf(mid) + "a=sctp-port:5000\r\n"
}

func TestParseOffer(t *testing.T) {
	t.Parallel()
	good := head + audio("0", "sendonly") + video("1", "sendonly")
	for name, c := range map[string]struct {
		role room.Role
		sdp  string
		want apierr.Code // empty: accepted
	}{
		"publisher":                {room.Pub, good, ""},
		"sendrecv is fine":         {room.Pub, strings.ReplaceAll(good, "sendonly", "sendrecv"), ""},
		"player":                   {room.Sub, strings.ReplaceAll(good, "sendonly", "recvonly"), ""},
		"data channel only":        {room.Sub, strings.Replace(head, "0 1", "0", 1) + data("0"), ""},
		"not SDP":                  {room.Pub, "hello", apierr.BadSDP},
		"empty":                    {room.Pub, "", apierr.BadSDP},
		"no sections":              {room.Pub, head, apierr.BadSDP},
		"publisher that receives":  {room.Pub, strings.Replace(good, "sendonly", "recvonly", 1), apierr.Unacceptable},
		"publisher that is silent": {room.Pub, strings.Replace(good, "sendonly", "inactive", 1), apierr.Unacceptable},
		"player that sends":        {room.Sub, good, apierr.Unacceptable},
		"no fingerprint":           {room.Pub, strings.ReplaceAll(good, "a=fingerprint", "a=x"), apierr.BadSDP},
		"no ufrag":                 {room.Pub, strings.ReplaceAll(good, "a=ice-ufrag", "a=x"), apierr.BadSDP},
		"no setup":                 {room.Pub, strings.ReplaceAll(good, "a=setup", "a=x"), apierr.BadSDP},
		"holdconn":                 {room.Pub, strings.ReplaceAll(good, "actpass", "holdconn"), apierr.BadSDP},
		"no mid":                   {room.Pub, strings.Replace(good, "a=mid:0\r\n", "", 1), apierr.BadSDP},
		"one mid twice":            {room.Pub, strings.Replace(good, "a=mid:1", "a=mid:0", 1), apierr.BadSDP},
		"script in a mid":          {room.Pub, strings.Replace(good, "a=mid:0", "a=mid:<script>", 1), apierr.BadSDP},
		"no bundle":                {room.Pub, strings.Replace(good, "a=group:BUNDLE 0 1\r\n", "", 1), apierr.Unacceptable},
		"half a bundle":            {room.Pub, strings.Replace(good, "BUNDLE 0 1", "BUNDLE 0", 1), apierr.Unacceptable},
		"no rtcp-mux":              {room.Pub, strings.ReplaceAll(good, "a=rtcp-mux\r\n", ""), apierr.Unacceptable},
		"unknown codec only":       {room.Pub, strings.Replace(good, "VP8", "VP7", 1), apierr.Unacceptable},
		"two data sections":        {room.Sub, head + data("0") + data("1"), apierr.Unacceptable},
		"text section":             {room.Pub, strings.Replace(good, "m=audio", "m=text", 1), apierr.Unacceptable},
		"switched off section":     {room.Pub, strings.Replace(good, "m=video 9", "m=video 0", 1), apierr.Unacceptable},
		"too many sections":        {room.Sub, head + strings.Repeat(audio("0", "recvonly"), 65), apierr.Unacceptable},
		"a rid that is no token":   {room.Pub, good + "a=rid:a* send\r\na=simulcast:send a*;b\r\n", apierr.Unacceptable},
		"five layers":              {room.Pub, good + "a=simulcast:send a;b;c;d;e\r\n", apierr.Unacceptable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := ParseOffer(c.role, c.sdp)
			var e *apierr.Error
			switch {
			case c.want == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case c.want == "" && o.SDP == "":
				t.Fatal("no text for pion")
			case c.want != "" && (!errors.As(err, &e) || e.Code != c.want):
				t.Fatalf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestOfferContents(t *testing.T) {
	t.Parallel()
	o, err := ParseOffer(room.Pub, strings.ReplaceAll(head+audio("a1", "sendrecv")+video("v1", "sendonly")+
		"a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;~l\r\n", "BUNDLE 0 1", "BUNDLE a1 v1"))
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Sections) != 2 || o.Sections[0].Mid != "a1" || strings.Join(o.Sections[1].Rids, " ") != "h l" || o.Data {
		t.Errorf("sections: %+v", o)
	}
	if strings.Contains(o.SDP, "sendrecv") {
		t.Error("a publisher's sendrecv was kept")
	}
}

// Candidates beyond the cap are dropped, whatever section they stand in.
func TestCandidatesAreCapped(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", 100)
	o, err := ParseOffer(room.Pub, head+audio("0", "sendonly")+many+video("1", "sendonly")+many)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(o.SDP, "a=candidate"); n != MaxCandidates {
		t.Errorf("%d candidates kept, want %d", n, MaxCandidates)
	}
}

func FuzzParseOffer(f *testing.F) {
	f.Add(true, head+audio("0", "sendonly")+video("1", "sendonly"))
	f.Add(false, head+audio("0", "recvonly")+data("1"))
	f.Add(true, head+video("0", "sendonly")+"a=rid:h send\r\na=simulcast:send h\r\n")
	f.Fuzz(func(t *testing.T, pub bool, text string) {
		role := room.Sub
		if pub {
			role = room.Pub
		}
		WithoutCandidates(text)
		_, _ = ParseRenegotiation(text, map[string]bool{"0": true, "1": false})
		o, err := ParseOffer(role, text)
		if err != nil {
			var e *apierr.Error
			if !errors.As(err, &e) || e.Status() >= 500 {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		Negotiated(o.SDP)
		if _, err := Outgoing(o.SDP); err != nil {
			t.Fatalf("accepted but unreadable: %v", err)
		}
	})
}
