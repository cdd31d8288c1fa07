package storm

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/pion/rtp"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
	"weever/shared/testkit/chromium"
	"weever/shared/testkit/guest"
	"weever/shared/testkit/netns"
)

// This file is what a test can have its clients do on another machine: see package guest.

// Guest is what the other process can be told to do; package net/rpc wants it exported.
type Guest struct {
	life    context.Context //nolint:containedctx // ends with the process
	viewers []*client.Subscriber
	ears    []*ear
	leave   []func()
	drum    *client.Publisher // sends by hand
	beat    rtp.Packet        // of drum, the last
	tab     *chromium.Tab
}

// Visit says whom the guest's viewers watch.
type Visit struct {
	URL, Room, Name string
	Viewers         int
	Publishers      int
}

// serveGuest answers calls until the standard input ends, then leaves in order.
func serveGuest() error {
	life, end := context.WithCancel(context.Background())
	g := &Guest{life: life}
	err := guest.Serve(g)
	for _, v := range g.viewers {
		v.Hangup()
	}
	if g.drum != nil {
		g.drum.Hangup()
	}
	for _, leave := range g.leave {
		leave()
	}
	g.tab.Close()
	end()
	return err
}

// Watch opens viewers and returns when each has heard and seen something.
func (g *Guest) Watch(v Visit, _ *guest.Nothing) error {
	ctx, cancel := context.WithTimeout(g.life, joinLimit)
	defer cancel()
	for i := range v.Viewers {
		e := newEar()
		s, err := client.Subscribe(ctx, client.Config{
			URL: v.URL, Room: v.Room, ID: fmt.Sprintf("%s%d", v.Name, i), Arrived: e.note, HTTP: &http.Client{Timeout: joinLimit},
		}, v.Publishers, v.Publishers)
		if err != nil {
			return err
		}
		g.viewers, g.ears = append(g.viewers, s), append(g.ears, e)
		if err := s.AwaitMedia(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Drum opens a publisher who sends nothing until Burst.
func (g *Guest) Drum(v Visit, _ *guest.Nothing) (err error) {
	ctx, cancel := context.WithTimeout(g.life, joinLimit)
	defer cancel()
	g.drum, err = client.Publish(ctx, client.Config{URL: v.URL, Room: v.Room, ID: v.Name, HTTP: &http.Client{Timeout: joinLimit}},
		client.Track{Config: synth.Config{Codec: synth.VP8}, Manual: true})
	g.beat = rtp.Packet{Header: rtp.Header{Version: 2}, Payload: make([]byte, 1000)}
	copy(g.beat.Payload, []byte{0x10, 0, 0, 0, 0x9d, 1, 0x2a, 1, 2, 3, 4}) // begins a key frame (RFC 7741 section 4)
	return err
}

// Burst sends so many packets at once, in frames of ten.
func (g *Guest) Burst(n int, _ *guest.Nothing) error {
	for range n {
		g.beat.SequenceNumber++
		g.beat.Marker = g.beat.SequenceNumber%10 == 9
		g.beat.Timestamp = uint32(g.beat.SequenceNumber/10) * 3000
		if err := g.drum.WriteRTP(0, 0, &g.beat); err != nil {
			return err
		}
	}
	return nil
}

// Arrivals gives what has come to each viewer, track by track.
func (g *Guest) Arrivals(_ guest.Nothing, all *[][]Heard) error {
	for _, e := range g.ears {
		*all = append(*all, e.list())
	}
	return nil
}

// Browse starts Chromium and opens a page.
func (g *Guest) Browse(p chromium.Page, _ *guest.Nothing) (err error) {
	g.tab, err = chromium.Open(g.life, p)
	return err
}

// Eval runs the body of an async function in the page and gives its result as JSON.
func (g *Guest) Eval(body string, result *[]byte) (err error) {
	*result, err = g.tab.Eval(body)
	return err
}

// away is the process on the other machine, as the test sees it.
type away struct {
	*stage
	*guest.Guest
}

// send starts the process on a station. It ends with the test.
func (s *stage) send(to *netns.Station) *away {
	s.Helper()
	return &away{s, guest.Start(s, to, to.Addr.String(), 20*time.Second)}
}
