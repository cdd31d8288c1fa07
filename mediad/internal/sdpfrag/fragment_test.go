package sdpfrag

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
)

const (
	ufrag = "ysXw"
	pwd   = "vw5LmwG4y/e6dPP/zAP9Gp5k"
	cand1 = "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag ysXw network-id 1"
	cand2 = "candidate:3471623853 1 UDP 2122194687 2001:db8::1 61765 typ srflx raddr :: rport 0"
)

// rfc is the trickle request of RFC 9725 section 4.3.2, with CRLF.
var rfc = crlf(`a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=ice-ufrag:` + ufrag + `
a=ice-pwd:` + pwd + `
a=` + cand1 + `
a=` + cand2 + `
a=end-of-candidates
`)

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestParseWhatClientsSend(t *testing.T) {
	whole := Fragment{Ufrag: ufrag, Pwd: pwd, Mid: "0", Media: "audio", Group: "BUNDLE 0 1", Candidates: []string{cand1, cand2}, End: true}
	with := func(change func(*Fragment)) Fragment {
		f := whole
		change(&f)
		return f
	}
	for name, c := range map[string]struct {
		body, tag string
		want      Fragment
	}{
		"as in the RFC":           {rfc, "0", whole},
		"any section will do":     {rfc, "", whole},
		"line feeds alone":        {strings.ReplaceAll(rfc, "\r", ""), "0", whole},
		"no end of the last line": {strings.TrimSpace(rfc), "0", whole},
		"blank lines":             {"\r\n" + strings.ReplaceAll(rfc, "\r\n", "\r\n\r\n"), "0", whole},
		"no port":                 {strings.Replace(rfc, "audio 9 UDP", "audio UDP", 1), "0", whole},
		"port 0 and old profile":  {strings.Replace(rfc, "9 UDP/TLS/RTP/SAVPF 111", "0 RTP/AVP 0", 1), "0", whole},
		"nothing but the medium":  {strings.Replace(rfc, "audio 9 UDP/TLS/RTP/SAVPF 111", "audio", 1), "0", whole},
		"connection line":         {strings.Replace(rfc, "a=mid", "c=IN IP4 0.0.0.0\r\na=mid", 1), "0", whole},
		"medooze's spelling":      {strings.Replace(rfc, "end-of-candidates", "end-of-candiadates", 1), "0", whole},
		"Eyevinn's candidates": {
			"m=audio 9 RTP/AVP 0\r\na=candidate:1 0 udp 2122265343 192.0.2.1 37129 typ host\r\na=candidate:2 0 udp 2122265343 [fd00::2] 37129 typ host\r\n", "",
			Fragment{Media: "audio", Candidates: []string{
				"candidate:1 1 udp 2122265343 192.0.2.1 37129 typ host", "candidate:2 1 udp 2122265343 fd00::2 37129 typ host",
			}},
		},
		"no mid": {strings.Replace(rfc, "a=mid:0\r\n", "", 1), "0", with(func(f *Fragment) { f.Mid = "" })},
		"no m-line": {
			strings.Replace(rfc, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "", 1), "0",
			with(func(f *Fragment) { f.Media = "" }),
		},
		"no m-line, another mid": {
			"a=mid:7\r\na=ice-ufrag:" + ufrag + "\r\na=" + cand2, "0",
			Fragment{Ufrag: ufrag, Mid: "7"},
		},
		"credentials above the section": {
			"a=ice-ufrag:" + ufrag + "\na=ice-pwd:" + pwd + "\nm=audio 9 RTP/AVP 0\na=mid:0\na=" + cand1, "0",
			Fragment{Ufrag: ufrag, Pwd: pwd, Mid: "0", Media: "audio", Candidates: []string{cand1}},
		},
		"no credentials": {
			"m=video 9 RTP/AVP 0\na=mid:v\na=" + cand2, "v",
			Fragment{Mid: "v", Media: "video", Candidates: []string{cand2}},
		},
		"another section": {
			"a=ice-ufrag:" + ufrag + "\nm=video 9 RTP/AVP 0\na=mid:1\na=" + cand1, "0",
			Fragment{Ufrag: ufrag},
		},
		"ours is the second": {
			"m=video 9 RTP/AVP 0\na=mid:1\na=" + cand1 + "\nm=application 9 UDP/DTLS/SCTP x\na=mid:0\na=" + cand2, "0",
			Fragment{Mid: "0", Media: "application", Candidates: []string{cand2}},
		},
		"lite with options and pacing": {
			"a=ice-lite\na=ice-options:trickle ice2\na=ice-pacing:50\na=ice-ufrag:" + ufrag, "0",
			Fragment{Ufrag: ufrag, Lite: true, Options: "trickle ice2", Pacing: "50"},
		},
		"repeated": {rfc + "a=" + cand1 + "\r\na=" + cand2 + "\r\n", "0", whole},
	} {
		got, err := Parse([]byte(c.body), c.tag)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %#v, %v\nwant %#v", name, got, err, c.want)
		}
	}
}

func TestUnusableCandidatesAreSkipped(t *testing.T) {
	for _, bad := range []string{
		"candidate:1 1 tcp 2105458943 192.0.2.1 9 typ host tcptype active",
		"candidate:1 1 udp 2122260223 b2a3c4d5-0000-4000-8000-000000000000.local 50000 typ host",
		"candidate:1 1 udp 2122260223 host.example 50000 typ host",
		"candidate:1 1 udp 2122260223 192.0.2.1 50000 typ magic",
		"candidate:1 1 sctp 2122260223 192.0.2.1 50000 typ host",
		"candidate:1 2 udp 2122260222 192.0.2.1 50001 typ host",
		"candidate:1 1 udp 2122260223 0.0.0.0 50000 typ host",
		"candidate:1 1 udp 2122260223 239.1.2.3 50000 typ host",
		"candidate:1 1 udp 2122260223 192.0.2.1 0 typ host",
		"candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host ufrag other",
		"candidate:garbage",
		"candidate:",
		"candidate",
	} {
		f, err := Parse([]byte("a=ice-ufrag:"+ufrag+"\r\na="+bad+"\r\na="+cand1+"\r\n"), "0")
		if err != nil || len(f.Candidates) != 1 || f.Candidates[0] != cand1 || f.Skipped != 1 {
			t.Errorf("%q: %#v, %v", bad, f, err)
		}
	}
	var many strings.Builder
	for i := range MaxCandidates + 5 {
		fmt.Fprintf(&many, "a=candidate:1 1 udp 1 192.0.2.1 %d typ host\n", 1000+i)
	}
	f, err := Parse([]byte(many.String()), "0")
	if err != nil || len(f.Candidates) != MaxCandidates || f.Skipped != 5 {
		t.Errorf("of %d candidates %d were kept and %d skipped, %v", MaxCandidates+5, len(f.Candidates), f.Skipped, err)
	}
}

func TestRefusals(t *testing.T) {
	for name, body := range map[string]string{
		"empty":                "",
		"blank":                "\r\n \r\n",
		"JSON":                 `{"candidate":"candidate:1 1 udp 1 192.0.2.1 1 typ host"}`,
		"prose":                "hello",
		"no value":             "a=",
		"unknown line":         rfc + "x=1\r\n",
		"whole description":    "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + rfc,
		"unknown medium":       "m=hologram 9 RTP/AVP 0\r\na=mid:0\r\n",
		"short ufrag":          "a=ice-ufrag:abc",
		"short pwd":            "a=ice-ufrag:abcd\na=ice-pwd:short",
		"long ufrag":           "a=ice-ufrag:" + strings.Repeat("x", 257),
		"ufrag of odd letters": "a=ice-ufrag:ab cd",
		"two ufrags":           "a=ice-ufrag:abcd\na=ice-ufrag:abce",
		"pwd alone":            "a=ice-pwd:" + pwd,
		"carriage returns":     "a=ice-ufrag:abcd\ra=ice-ufrag:abce",
	} {
		if f, err := Parse([]byte(body), "0"); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %#v, %v", name, f, err)
		}
	}
	if _, err := Parse(make([]byte, MaxSize+1), "0"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	for name, description := range map[string]string{
		"no description": "hello",
		"all rejected":   "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\na=mid:0\r\n",
	} {
		if f, err := FromSDP(description); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %#v, %v", name, f, err)
		}
	}
}

func TestParseReplyKeepsTCP(t *testing.T) {
	const tcp = "candidate:1 1 tcp 2105458943 192.0.2.1 8443 typ host tcptype passive"
	f, err := ParseReply([]byte(rfc + "a=" + tcp + "\r\n"))
	if err != nil || !reflect.DeepEqual(f.Candidates, []string{cand1, cand2, tcp}) || f.Ufrag != ufrag || f.Pwd != pwd {
		t.Errorf("%#v, %v", f, err)
	}
	if f, err := ParseReply([]byte("{}")); !errors.Is(err, ErrSyntax) {
		t.Errorf("%#v, %v", f, err)
	}
}

func TestRestarts(t *testing.T) {
	for f, want := range map[string]bool{"": false, ufrag: false, "other": true} {
		if got := (Fragment{Ufrag: f}).Restarts(ufrag); got != want {
			t.Errorf("a fragment with %q restarts: %v", f, got)
		}
	}
}

// TestFromSDP takes the fragment out of what pion really writes, and Parse reads it back.
func TestFromSDP(t *testing.T) {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := pc.AddTransceiverFromKind(kind); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	complete := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-complete
	f, err := FromSDP(pc.LocalDescription().SDP)
	if err != nil {
		t.Fatal(err)
	}
	if f.Mid != "0" || f.Media != "video" || f.Group != "BUNDLE 0 1" || !f.End || len(f.Candidates) == 0 {
		t.Errorf("%#v", f)
	}
	text := f.String()
	for _, line := range []string{"m=video 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", "a=ice-ufrag:" + f.Ufrag, "a=ice-pwd:" + f.Pwd, "a=" + f.Candidates[0], "a=end-of-candidates"} {
		if !strings.Contains(text, line+"\r\n") {
			t.Errorf("%q lacks %q", text, line)
		}
	}
	if again, err := Parse([]byte(text), "0"); err != nil || !reflect.DeepEqual(again, f) {
		t.Errorf("Parse(String()): %#v, %v; want %#v", again, err, f)
	}
}

// FuzzParse: what is accepted is bounded and survives being written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(rfc), "0")
	f.Add([]byte(strings.ReplaceAll(rfc, "\r", "")), "")
	f.Add([]byte(Fragment{Lite: true, Options: "ice2", Pacing: "50", Media: "application", Mid: "d", Ufrag: ufrag, Pwd: pwd, End: true}.String()), "d")
	f.Add([]byte("a=mid:7\na="+cand1), "0")
	f.Add([]byte("m=audio\nm=video\na=mid:0"), "0")
	f.Add([]byte("a=ice-lite\ra=x"), "0")
	f.Fuzz(func(t *testing.T, body []byte, tag string) {
		got, err := Parse(body, tag)
		if err != nil {
			if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		if len(got.Candidates) > MaxCandidates {
			t.Fatalf("%d candidates", len(got.Candidates))
		}
		text := got.String()
		if text == "" {
			return // nothing that concerns us was in it
		}
		again, err := Parse([]byte(text), got.Mid)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", body, text, err)
		}
		got.Skipped = 0
		if !reflect.DeepEqual(again, got) {
			t.Fatalf("%q was read as %#v, then as %#v", body, got, again)
		}
	})
}
