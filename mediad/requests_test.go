package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"weever/mediad/internal/client"
)

// This file throws requests at the public API that nobody in their senses would make.

const (
	randomRequests = 10_000
	requestSeed    = 9725
)

// goodOffer is one that a node takes; what it says of its sender is not true.
const goodOffer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n" +
	"a=fingerprint:sha-256 AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA\r\n" +
	"a=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=mid:1\r\na=bundle-only\r\na=sendrecv\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
	"a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"

// mess makes requests out of the pieces of good and bad ones.
type mess struct {
	rng      *rand.Rand
	sessions []string // paths that were once good
}

func pick[T any](m *mess, from ...T) T { return from[m.rng.IntN(len(from))] }

func (m *mess) request() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", pick(m, "POST", "POST", "POST", "PATCH", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS", "PUT", "BREW", "post"), m.path())
	fmt.Fprintf(&b, "Host: %s\r\n", pick(m, "localhost", "127.0.0.1:1", "[::1]", "a.localhost"))
	if m.rng.IntN(2) == 0 {
		b.WriteString("Content-Type: application/" + pick(m, "sdp", "sdp", "trickle-ice-sdpfrag") + "\r\n")
	}
	for range m.rng.IntN(3) {
		b.WriteString(m.header() + "\r\n")
	}
	body := m.body()
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.Bytes()
}

func (m *mess) name() string {
	if m.rng.IntN(2) == 0 {
		return pick(m, "tea", "alice", "alice+1", "bob-screen")
	}
	return pick(m, "tea", "alice", "alice+1", "bob-screen", "a~b", "*", ">", "%3E", "..", "%2e%2e", "a%2fb", "%00", "%ff", "", "%22", "a.b",
		strings.Repeat("x", 64), strings.Repeat("x", 65), "%F0%9F%8D%B5", "+", "-screen", "alice++", "{room}", "$JS", "%0d%0aX:y")
}

func (m *mess) path() string {
	if len(m.sessions) > 0 && m.rng.IntN(4) == 0 {
		return pick(m, m.sessions...) + pick(m, "", "", "/", "/events", "/layer", "/events/x", "x", "?pub=y")
	}
	if m.rng.IntN(3) > 0 {
		return "/" + pick(m, "pub", "sub") + "/tea/" + m.name() + pick(m, "", "?sub=manual")
	}
	p := "/" + pick(m, "pub", "sub", "pub", "sub", "PUB", "create", "list", "metrics", "")
	for range 1 + m.rng.IntN(4) {
		p += "/" + m.name()
	}
	return p + pick(m, "", "", "?sub=manual", "?pub=alice", "?pub=%2A", "?pub=a+b&pub=c", "?%zz", "?"+strings.Repeat("q", 2000))
}

func (m *mess) header() string {
	return pick(m,
		"Content-Type: application/sdp", "Content-Type: application/sdp", "Content-Type: application/sdp; charset=utf-8",
		"Content-Type: application/trickle-ice-sdpfrag", "Content-Type: application/trickle-ice-sdpfrag", "Content-Type: application/json",
		"Content-Type: ;;;", "Content-Type: "+strings.Repeat("a", 3000), "If-Match: *", `If-Match: "*"`, `If-Match: "abcd"`, `If-Match: W/"abcd"`,
		"If-Match: ,,,", `If-Match: "`, "Authorization: Bearer x", "Authorization: Bearer", "Authorization: Basic eDp5", "Authorization: "+strings.Repeat("b", 9000),
		"Origin: http://localhost:3000", "Origin: null", "Origin: ://", "Access-Control-Request-Method: PATCH", "Accept: application/json",
		"Accept: */*;q=x", "X-Forwarded-For: 1.2.3.4, , ::", "Expect: 100-continue", "Range: bytes=0-", "Upgrade: websocket")
}

func (m *mess) body() string {
	if m.rng.IntN(3) == 0 {
		return goodOffer
	}
	text := pick(m, "", "v=0", "{}", "[]", `["active","x"]`, `{"rid":"h"}`, "a=ice-ufrag:efgh\r\na=ice-pwd:0123456789012345678901\r\n", oneCandidate,
		"a=end-of-candidates\r\n", goodOffer, goodOffer, goodOffer, strings.ReplaceAll(goodOffer, "sendrecv", "recvonly"), strings.Repeat("a", 300<<10))
	if m.rng.IntN(3) == 0 || len(text) == 0 {
		return text
	}
	b := []byte(text)
	for range 1 + m.rng.IntN(8) {
		at := m.rng.IntN(len(b))
		switch m.rng.IntN(4) {
		case 0:
			b[at] = byte(m.rng.IntN(256))
		case 1:
			b = b[:at+1]
		case 2: // a line twice, or moved
			lines := strings.SplitAfter(string(b), "\n")
			b = []byte(strings.Join(append(lines, pick(m, lines...)), ""))
		case 3:
			lines := strings.SplitAfter(string(b), "\n")
			i := m.rng.IntN(len(lines))
			b = []byte(strings.Join(append(lines[:i:i], lines[i+1:]...), ""))
		}
		if len(b) == 0 {
			break
		}
	}
	return string(b)
}

// judge looks at a reply: no fault of ours but 503, and every refusal by our own hand one that a person can read.
func judge(status int, h http.Header, body []byte) error {
	switch {
	case status >= 500 && status != http.StatusServiceUnavailable:
		return fmt.Errorf("status %d: %.200s", status, body)
	case status >= 300 && status < 400:
		return fmt.Errorf("a redirect (%d) to %.200q", status, h.Get("Location"))
	case status < 400, status == http.StatusUnauthorized:
		return nil
	}
	var p struct{ Detail string }
	if h.Get("Content-Type") != "application/problem+json" || len(body) > 0 && (json.Unmarshal(body, &p) != nil || p.Detail == "") {
		return fmt.Errorf("status %d, %s: %.200q", status, h.Get("Content-Type"), body)
	}
	return nil
}

// TestTenThousandRandomRequests wants no 5xx but 503 and nothing left behind.
func TestTenThousandRandomRequests(t *testing.T) {
	n := startNodes(t, 1)[0]
	base := runtime.NumGoroutine()
	p := publish(t, n, "tea", "alice", client.Microphone())
	m := &mess{rng: rand.New(rand.NewPCG(requestSeed, 0)), sessions: []string{pathOf(t, p.Location()), "/pub/tea/bob/" + strings.Repeat("0", 48)}} //nolint:gosec // to be repeated
	requests := make(chan []byte)
	var senders sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 4 {
		senders.Go(func() {
			for raw := range requests {
				resp, err := onTheWire(n.PublicURL(), raw)
				if err != nil {
					t.Errorf("no reply to %.300q: %v", raw, err)
					continue
				}
				if err := judgeWire(resp); err != nil {
					t.Errorf("%.300q: %v", raw, err)
				}
				mu.Lock()
				statuses[resp.status]++
				mu.Unlock()
			}
		})
	}
	for range randomRequests {
		requests <- m.request()
	}
	close(requests)
	senders.Wait()
	t.Logf("statuses: %v", statuses)
	for _, want := range []int{200, 201, 400, 404, 405, 413} {
		if statuses[want] == 0 {
			t.Errorf("never a %d: the requests are not what they should be", want)
		}
	}
	zoe := publish(t, n, "tea", "zoe") // it serves as before
	for _, c := range []*client.Publisher{p, zoe} {
		if err := c.Close(within(t, 5*time.Second)); err != nil {
			t.Error(err)
		}
	}
	await(t, "the sessions that never connected to vanish", 25*time.Second, func() bool {
		p, v := n.sessions.Counts()
		return p+v == 0
	})
	settle(t, base)
}

// onTheWire sends a request as it is and reads the reply. The connection is new: what one request leaves unread is not the next one's.
func onTheWire(base string, raw []byte) (wireReply, error) {
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(base, "http://"), 5*time.Second)
	if err != nil {
		return wireReply{}, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return wireReply{}, err
	}
	var wrote sync.WaitGroup
	defer wrote.Wait()
	wrote.Go(func() { _, _ = conn.Write(raw) }) // the node may answer and close before it has read all
	method, _, _ := bytes.Cut(raw, []byte(" "))
	for in := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(in, &http.Request{Method: string(method)})
		if err != nil {
			return wireReply{}, err
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		return wireReply{resp.StatusCode, resp.Header, body}, err
	}
}

// FuzzRequests gives a node of its own whatever net/http takes for a request.
func FuzzRequests(f *testing.F) {
	n := fuzzedNode(f)
	m := &mess{rng: rand.New(rand.NewPCG(requestSeed, 0))} //nolint:gosec // to be repeated
	for range 40 {
		f.Add(m.request())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		r.RemoteAddr = "192.0.2.1:1"
		w := httptest.NewRecorder()
		n.gated(w, r)
		if err := judge(w.Code, w.Header(), w.Body.Bytes()); err != nil {
			t.Error(err)
		}
		for name, values := range w.Header() {
			for _, v := range values {
				if strings.ContainsAny(name+v, "\r\n\x00") {
					t.Errorf("header %q: %q", name, v)
				}
			}
		}
	})
}

// fuzzedNode is one with few sessions at a time and its own backends: fuzzing runs many processes.
func fuzzedNode(f *testing.F) *node {
	f.Helper()
	cli, err := parse([]string{"--dev", "--port=0", "--dev-port=0", "--private-port=0", "--udp-port=0", "--max-sessions=20", "--rate-limit=off,off", "--site=false"}, io.Discard, io.Discard)
	if err != nil {
		f.Fatal(err)
	}
	cfg := cli.Serve
	backends, err := startDev(&cfg)
	if err != nil {
		f.Fatal(err)
	}
	n, err := newNode(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = backends.Run(ctx) })
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			f.Error(err)
		}
	})
	f.Cleanup(func() {
		stop()
		running.Wait()
		backends.Close()
	})
	for deadline := time.Now().Add(10 * time.Second); n.gate.Load() == nil; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatal("the node does not get ready")
		}
	}
	return n
}

// wireReply is a reply and whether net/http wrote it before our handler was asked.
type wireReply struct {
	status int
	header http.Header
	body   []byte
}

// judgeWire is judge for a reply from the wire: to what is no HTTP, net/http answers by itself, in plain text.
func judgeWire(r wireReply) error {
	if r.status == http.StatusBadRequest && strings.HasPrefix(string(r.body), "400 Bad Request") || r.status == 417 || r.status == 431 {
		return nil
	}
	return judge(r.status, r.header, r.body)
}
