package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weever/mediad/internal/client/clienttest"
	"weever/mediad/internal/client/synth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(t *testing.T, cfg Config) Report {
	t.Helper()
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	return r
}

// checkMedia says whether tracks of one kind came whole.
func checkMedia(t *testing.T, kind string, m Media, tracks int, perSecond float64, r Report) {
	t.Helper()
	if m.TracksWanted != tracks || m.Tracks != tracks {
		t.Errorf("%s: %d of %d tracks, want %d", kind, m.Tracks, m.TracksWanted, tracks)
	}
	if want := perSecond * r.Seconds * float64(tracks); float64(m.Packets) < want/2 || float64(m.Packets) > want*2 {
		t.Errorf("%s: %d packets, want about %.0f", kind, m.Packets, want)
	}
	if m.Expected != m.Packets+m.Lost || m.Mbps <= 0 || m.Latency.Count == 0 || m.Latency.P50 <= 0 || m.Latency.P50 > m.Latency.P99 || m.Latency.P99 > m.Latency.Max {
		t.Errorf("%s: %+v", kind, m)
	}
}

func TestARoom(t *testing.T) {
	server := clienttest.New(t, "secret")
	r := run(t, Config{URL: server.URL, Token: "secret", Pubs: 2, Subs: 3, Duration: time.Second})
	if p := r.Publishers; p.Wanted != 2 || p.Joined != 2 || p.Failed != 0 || p.Ended != 0 || p.Time.Count != 2 || p.Time.P50 <= 0 {
		t.Errorf("publishers: %+v", p)
	}
	if s := r.Subscribers; s.Wanted != 3 || s.Joined != 3 || s.Failed != 0 || s.Ended != 0 || s.Time.Count != 3 || s.Time.P50 <= 0 {
		t.Errorf("subscribers: %+v", s)
	}
	checkMedia(t, "video", r.Video, 6, 180, r)
	checkMedia(t, "audio", r.Audio, 6, 50, r)
	if r.KeyFrame.Count != 3 || r.KeyFrame.P50 < r.Subscribers.Time.P50 {
		t.Errorf("first key frames: %+v", r.KeyFrame)
	}
	if want := 2 * 230 * r.Seconds; float64(r.Sent.Packets) < want/2 || float64(r.Sent.Packets) > want*2 {
		t.Errorf("sent: %+v, want about %.0f packets", r.Sent, want)
	}
	if r.CPU <= 0 || r.Seconds < 1 || len(r.Errors) > 0 {
		t.Errorf("%+v", r)
	}
	if n := server.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestPlayersInRooms(t *testing.T) {
	server := clienttest.New(t, "")
	r := run(t, Config{URL: server.URL, Rooms: 2, Pubs: 1, Subs: 2, WHEP: true, NoAudio: true, Traffic: synth.Browser, Codec: synth.H264, Duration: time.Second})
	checkMedia(t, "video", r.Video, 4, 180, r)
	if r.Audio.TracksWanted != 0 || r.Audio.Packets != 0 || r.Subscribers.Joined != 4 || r.Publishers.Joined != 2 || !r.WHEP {
		t.Errorf("%+v", r)
	}
}

func TestOtherServers(t *testing.T) {
	server := clienttest.New(t, "")
	r := run(t, Config{
		PubURL: server.URL + "/pub/{room}/{id}", SubURL: server.URL + "/sub/{room}/{id}",
		Pubs: 1, Subs: 1, NoVideo: true, Duration: 200 * time.Millisecond,
	})
	checkMedia(t, "audio", r.Audio, 1, 50, r)
}

// People see and hear each other, in two rooms; nobody gets what is their own.
func TestMeetings(t *testing.T) {
	server := clienttest.New(t, "")
	var reached []Stage
	r := run(t, Config{
		URL: server.URL, Rooms: 2, Pubs: 3, Meeting: true, Sections: 2, FPS: 10, Packets: 1, AudioRate: 10, Duration: time.Second,
		Reached: func(s Stage) {
			if reached = append(reached, s); s == Measured && server.Sessions() != 12 {
				t.Errorf("%d sessions are left", server.Sessions())
			}
		},
	})
	checkMedia(t, "video", r.Video, 12, 10, r)
	checkMedia(t, "audio", r.Audio, 12, 10, r)
	if r.Publishers.Joined != 6 || r.Subscribers.Joined != 6 {
		t.Errorf("%+v", r)
	}
	if !slices.Equal(reached, []Stage{Published, Joined, Measured}) {
		t.Errorf("reached %v", reached)
	}
}

func TestFailuresAreCounted(t *testing.T) {
	server := clienttest.New(t, "secret")
	r, err := Run(t.Context(), Config{URL: server.URL, Pubs: 1, Subs: 2, Duration: time.Millisecond})
	if err == nil || r.Publishers.Failed != 1 || r.Subscribers.Failed != 2 || r.Subscribers.Joined != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if len(r.Errors) != 2 || r.Errors[0].Count != 2 || !strings.Contains(r.Errors[0].Text, "401") || strings.Contains(fmt.Sprint(r.Errors), server.URL) {
		t.Errorf("%+v", r.Errors)
	}

	// Nobody to see: the session opens, but nothing comes.
	r, err = Run(t.Context(), Config{URL: server.URL, Token: "secret", Subs: 1, JoinLimit: time.Second, Duration: time.Millisecond})
	if err == nil || r.Subscribers.Failed != 1 || !strings.Contains(fmt.Sprint(r.Errors), "no packet") {
		t.Errorf("%+v, %v", r, err)
	}
	if n := server.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	server := clienttest.New(t, "")
	server.Refuse(http.StatusServiceUnavailable)
	r := run(t, Config{URL: server.URL, Pubs: 1, Duration: time.Millisecond})
	if p := r.Publishers; p.Joined != 1 || p.Retries != 1 || p.Failed != 0 || p.Time.Max > 3000 {
		t.Errorf("%+v", p)
	}
}

func TestCancelledRunsReport(t *testing.T) {
	server := clienttest.New(t, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for server.Sessions() < 2 {
			<-tick.C
		}
		cancel(enough)
	}()
	r, err := Run(ctx, Config{URL: server.URL, Pubs: 2, Duration: time.Hour})
	if !errors.Is(err, enough) || r.Publishers.Wanted != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBadConfigs(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		says []string
	}{
		"nothing":     {Config{}, []string{"somebody"}},
		"half a URL":  {Config{URL: "localhost:8443", Subs: 1}, []string{"http://"}},
		"no URL":      {Config{Subs: 1}, []string{"URL is required"}},
		"no WHEP URL": {Config{PubURL: "http://x/{id}", Pubs: 1, Subs: 1}, []string{"URL is required"}},
		"negative":    {Config{URL: "http://x", Subs: -1, Pubs: 3, Parallel: -1, Duration: -1}, []string{"negative", "parallel", "positive"}},
		"too many":    {Config{URL: "http://x", Subs: 1001, Rooms: 100}, []string{"more than"}},
		"silence":     {Config{URL: "http://x", Subs: 1, NoAudio: true, NoVideo: true}, []string{"neither"}},
		"odd codec":   {Config{URL: "http://x", Subs: 1, Codec: "audio/opus"}, []string{"video"}},
		"odd speed":   {Config{URL: "http://x", Subs: 1, FPS: 1000}, []string{"frames per second"}},
		"odd meeting": {Config{URL: "http://x", Pubs: 2, Subs: 1, Meeting: true, Sections: -1}, []string{"meeting", "sections"}},
		"odd traffic": {Config{URL: "http://x", Subs: 1, Traffic: "jam"}, []string{"jam"}},
	} {
		_, err := Run(t.Context(), c.cfg)
		for _, part := range c.says {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v does not say %q", name, err, part)
			}
		}
	}
}

func TestTableAndJSON(t *testing.T) {
	r := Report{
		Rooms: 1, Traffic: "burst", Codec: "video/VP8", Seconds: 10, CPU: 0.5,
		Publishers:  Joins{Wanted: 1, Joined: 1, Time: Times{Count: 1, P50: 12.34, P90: 12.34, P99: 12.34, Max: 12.34}},
		Subscribers: Joins{Wanted: 50, Joined: 49, Failed: 1, Time: Times{Count: 49, P50: 40, P90: 50, P99: 60, Max: 61}},
		Video:       Media{TracksWanted: 49, Tracks: 49, Packets: 88190, Expected: 88200, Lost: 10, Repaired: 5, Mbps: 84.7, Latency: Times{Count: 88190, P50: 2.5, P99: 8}},
		Sent:        Sent{Packets: 2300, PLIs: 2},
		Errors:      []Fault{{"subscribing: POST was answered 503", 1}},
	}
	var b bytes.Buffer
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"12.3", "49/49", "88190", "10 (0.011%)", "84.7", "0.50 cores", "1 × subscribing: POST was answered 503"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
	width := 0
	for i, line := range strings.Split(b.String(), "\n")[:3] {
		if i > 0 && len(line) != width {
			t.Errorf("columns do not line up:\n%s", b.String())
		}
		width = len(line)
	}
	raw, err := json.Marshal(r)
	var back Report
	if err != nil || json.Unmarshal(raw, &back) != nil || fmt.Sprint(back) != fmt.Sprint(r) || !bytes.Contains(raw, []byte(`"p50_ms":12.34`)) {
		t.Errorf("%s, %v", raw, err)
	}
	if err := r.WriteTable(failing{}); err == nil {
		t.Error("a failing writer is not noticed")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestTallyIsBounded(t *testing.T) {
	c := newTally()
	for i := range 100 {
		c.add("x", fmt.Errorf("failure %d %s", i, strings.Repeat("y", 1000)))
	}
	list := c.list()
	if len(list) != maxFaults+1 || list[0].Text != "other failures" || list[0].Count != 100-maxFaults {
		t.Errorf("%d kinds, the first %+v", len(list), list[0])
	}
	for _, f := range list {
		if len(f.Text) > 400 {
			t.Errorf("%d bytes of text", len(f.Text))
		}
	}
}
