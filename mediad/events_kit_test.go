package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client"
)

// sse is one server-sent event.
type sse struct{ name, data string }

// eventStream reads one event stream.
type eventStream struct {
	t      *testing.T
	resp   *http.Response
	queue  chan sse // closed when the stream has ended
	seen   []sse
	cancel context.CancelFunc
}

// streaming is a client for requests without an end. It follows redirects, as an EventSource does.
func streaming() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// listen reads the stream at address until the test ends.
func listen(t *testing.T, address string) *eventStream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := streaming().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	e := &eventStream{t: t, resp: resp, queue: make(chan sse, 1000), cancel: cancel}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the stream is answered %d %v", resp.StatusCode, resp.Header)
	}
	go e.read()
	t.Cleanup(func() {
		cancel()
		for range e.queue { //nolint:revive // until it is closed
		}
	})
	return e
}

func (e *eventStream) read() {
	defer close(e.queue)
	defer e.resp.Body.Close()
	var now sse
	for lines := bufio.NewScanner(e.resp.Body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			now.name = value
		case "data":
			now.data = value
		case "":
			if now.name != "" {
				e.queue <- now
			}
			now = sse{}
		}
	}
}

// next waits for an event that looks right, and returns it; others are passed over.
func (e *eventStream) next(what string, right func(sse) bool) sse {
	e.t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		select {
		case got, ok := <-e.queue:
			if !ok {
				e.t.Fatalf("the stream ended before %s; there came %v", what, e.seen)
			}
			e.seen = append(e.seen, got)
			if right(got) {
				return got
			}
		case <-deadline:
			e.t.Fatalf("waited in vain for %s; there came %v", what, e.seen)
		}
	}
}

// expect waits for exactly this event.
func (e *eventStream) expect(name, data string) {
	e.t.Helper()
	e.next(name+" "+data, func(got sse) bool { return got == sse{name, data} })
}

// ends waits for the end of the stream.
func (e *eventStream) ends() {
	e.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case got, ok := <-e.queue:
			if !ok {
				return
			}
			e.seen = append(e.seen, got)
		case <-deadline:
			e.t.Fatalf("the stream does not end; there came %v", e.seen)
		}
	}
}

// layerInfo is one layer in a layers event.
type layerInfo struct {
	Rid                    string
	Bitrate, Width, Height int
	SpatialLayerID         *int
	TemporalLayerID        *int
}

// layers waits for a layers event that looks right, of the section at place 1.
func (e *eventStream) layers(what string, right func([]layerInfo) bool) {
	e.t.Helper()
	e.next("layers with "+what, func(got sse) bool {
		if got.name != "layers" {
			return false
		}
		var sections map[string][]layerInfo
		if err := json.Unmarshal([]byte(got.data), &sections); err != nil || len(sections) != 1 || sections["1"] == nil {
			e.t.Errorf("layers: %s: %v", got.data, err)
		}
		return right(sections["1"])
	})
}

// startPlayer starts a plain WHEP player of one publisher, with an audio section and then a video section.
func startPlayer(t *testing.T, n *testNode, rm, id, pub string) *client.Subscriber {
	t.Helper()
	cfg := clientConfig(n, rm, id)
	cfg.NoControl = true
	cfg.Query = url.Values{"pub": {pub}}
	return subscribeOffering(t, cfg, 1, 1)
}

// at is the path below a session's URL at another node.
func at(t *testing.T, n *testNode, s *client.Subscriber, path string) string {
	t.Helper()
	u, err := url.Parse(s.Location())
	if err != nil {
		t.Fatal(err)
	}
	return n.PublicURL() + u.Path + path
}

var jsonHeader = map[string]string{"Content-Type": "application/json"}

// openEvents opens an event stream by way of a node and returns its path.
func openEvents(t *testing.T, n *testNode, s *client.Subscriber, body string) string {
	t.Helper()
	r := do(t, "POST", at(t, n, s, "/events"), body, jsonHeader)
	path := r.header.Get("Location")
	if r.status != 201 || !strings.HasPrefix(n.PublicURL()+path, at(t, n, s, "/events/")) {
		t.Fatalf("opening events: %+v", r)
	}
	return path
}

// postPlayer sends a player's offer and does no more; it returns the reply.
func postPlayer(t *testing.T, n *testNode, path string, data bool, header map[string]string) reply {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.GracefulClose() }()
	if data {
		if _, err := pc.CreateDataChannel("control", nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := map[string]string{"Content-Type": "application/sdp"}
	for k, v := range header {
		h[k] = v
	}
	r := do(t, "POST", n.PublicURL()+path, offer.SDP, h)
	if r.status != 201 {
		t.Fatalf("POST: %+v", r)
	}
	return r
}
