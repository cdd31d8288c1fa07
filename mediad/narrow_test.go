package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/arrival"
	"weever/mediad/internal/control"
	"weever/mediad/internal/fanout/congestion"
	"weever/mediad/internal/session/viewer/bandwidth"
	"weever/shared/room/roomtest"
)

// A viewer whose network gets too narrow for the best layer is sent a lower one, which comes through whole; when there is room again it gets
// the best back. Where the viewer wants the least in any case, nothing is measured.
func TestNarrowNetwork(t *testing.T) {
	nodes := startNodes(t, 2)
	p := publish(t, nodes[0], "tea", "alice", simulcast())
	layers := map[string]uint32{}
	for _, s := range p.Sent() {
		layers[s.Rid] = s.Stream
	}
	first := subscribe(t, nodes[0], "tea", "first") // a player has to find her live
	plays(t, first, "alice", "video0")
	first.Hangup()
	await(t, "the first viewer to be forgotten", 5*time.Second, func() bool { return nodes[0].sessions.Stats().Links.Live == 0 })
	t.Run("a viewer at another node", func(t *testing.T) {
		t.Parallel()
		v := narrowed(t, nodes[1], false, layers["h"])
		measured := func(n int) func() bool {
			return func() bool {
				now := 0
				for _, viewers := range nodes[1].sessions.Stats().Links.Now.States {
					now += viewers
				}
				return now == n
			}
		}
		await(t, "a viewer to be measured", time.Second, measured(1))
		if err := v.Layer(roomtest.FullID(t, "alice"), "video0", control.LevelLow); err != nil {
			t.Fatal(err)
		}
		await(t, "the measuring to end", 5*time.Second, measured(0))
		v.Hangup()
		await(t, "the viewer to be forgotten", 5*time.Second, func() bool { return nodes[1].sessions.Stats().Links.Live == 0 })
	})
	t.Run("a plain player at the same node", func(t *testing.T) {
		t.Parallel()
		narrowed(t, nodes[0], true, layers["h"]).Hangup()
	})
}

// narrowed takes a viewer of alice through a network that gets narrow for a while. best is the stream of her best layer.
func narrowed(t *testing.T, n *testNode, plain bool, best uint32) *client.Subscriber {
	t.Helper()
	path := newStraw(t, n.udp.Port())
	cfg := clientConfig(n, "tea", "viewer")
	cfg.HTTP, cfg.NoControl = &http.Client{Transport: path, Timeout: 10 * time.Second}, plain
	v := subscribeOffering(t, cfg, 1, 1)
	links := func() bandwidth.Total { return n.sessions.Stats().Links }
	shows := func(what string, limit time.Duration, ok func(stream uint32) bool) {
		t.Helper()
		began := time.Now()
		if _, err := v.AwaitTrack(within(t, limit), "alice", "video0", func(st arrival.Stats) bool { return st.Stream != 0 && ok(st.Stream) }); err != nil {
			t.Fatalf("%s: %v: %+v; links %+v", what, err, v.Tracks(), links())
		}
		t.Logf("%s: after %v", what, time.Since(began).Round(time.Millisecond))
	}
	shows("plenty", 20*time.Second, func(stream uint32) bool { return stream == best })
	await(t, "an estimate", 10*time.Second, func() bool { return links().Now.States[congestion.Steady] > 0 })

	path.narrow(1_200_000) // the best takes 1.8 Mbit/s, the next half of that
	shows("too narrow", 10*time.Second, func(stream uint32) bool { return stream != best })
	began := time.Now()
	await(t, "an end of the losses", 10*time.Second, func() bool {
		was, _ := v.Track("alice", "video0")
		<-time.After(time.Second)
		now, _ := v.Track("alice", "video0")
		return now.Packets > was.Packets+20 && now.Gaps == was.Gaps
	})
	if path.lost.Load() == 0 {
		t.Error("nothing was ever lost: this was no test")
	}
	t.Logf("no more losses: after %v, with one second that shows it; %d packets in all", time.Since(began).Round(time.Millisecond), path.lost.Load())

	path.narrow(0)
	shows("room again", 40*time.Second, func(stream uint32) bool { return stream == best })
	if st := more(t, v, "alice", "video0", 60); st.SSRCs != 1 || st.Backwards != 0 {
		t.Errorf("not one stream: %+v", st)
	}
	return v
}

// straw is a client's only way to a node: over HTTP, where it hides that there are others, and over UDP, where packets to the client go
// through a link of limited rate with a short queue.
type straw struct {
	client, node *net.UDPConn
	hide, show   *regexp.Regexp
	port         string
	rate         atomic.Int64 // bit/s; 0: no limit
	lost         atomic.Int64
	from         atomic.Pointer[net.UDPAddr] // the client
}

// deep is how long a packet waits in the queue at most.
const deep = 150 * time.Millisecond

func newStraw(t *testing.T, port int) *straw {
	t.Helper()
	s := &straw{hide: regexp.MustCompile(`a=candidate:[^\r\n]*\r?\n`), show: regexp.MustCompile(fmt.Sprintf(`\b%d typ host`, port))}
	var err error
	if s.client, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	if s.node, err = net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}); err != nil {
		t.Fatal(err)
	}
	s.port = fmt.Sprintf("%d typ host", s.client.LocalAddr().(*net.UDPAddr).Port)
	queue := make(chan parcel, 4096)
	var work sync.WaitGroup
	work.Go(s.up)
	work.Go(func() { s.down(queue) })
	work.Go(func() { s.deliver(queue) })
	t.Cleanup(func() {
		_ = s.client.Close()
		_ = s.node.Close()
		work.Wait()
	})
	return s
}

// RoundTrip implements http.RoundTripper.
func (s *straw) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Body != nil {
		offer, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		offer = s.hide.ReplaceAll(offer, nil)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(offer)), int64(len(offer))
	}
	resp, err := insecure().Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	answer = s.show.ReplaceAll(answer, []byte(s.port))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(answer)), int64(len(answer))
	return resp, err
}

// narrow sets the rate of the link, in bit/s; 0: no limit.
func (s *straw) narrow(rate int64) { s.rate.Store(rate) }

// parcel is a packet that waits in the queue.
type parcel struct {
	b   []byte
	due time.Time
}

// up ends when the sockets are closed, as the others do.
func (s *straw) up() {
	buf := make([]byte, 2048)
	for {
		n, from, err := s.client.ReadFromUDP(buf)
		if err != nil {
			return
		}
		s.from.Store(from)
		_, _ = s.node.Write(buf[:n])
	}
}

func (s *straw) down(queue chan<- parcel) {
	defer close(queue)
	buf := make([]byte, 2048)
	var free time.Time // when the link has sent all that it has
	for {
		n, err := s.node.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if free.Sub(now) > deep {
			s.lost.Add(1)
			continue
		}
		if rate := s.rate.Load(); rate > 0 {
			free = free.Add(time.Duration(int64(n) * 8 * int64(time.Second) / rate))
		}
		queue <- parcel{bytes.Clone(buf[:n]), free}
	}
}

func (s *straw) deliver(queue <-chan parcel) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for p := range queue {
		timer.Reset(time.Until(p.due))
		<-timer.C
		if to := s.from.Load(); to != nil {
			_, _ = s.client.WriteToUDP(p.b, to)
		}
	}
}
