package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/arrival"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/testkit/chromium"
	"weever/shared/testkit/guest"
)

// This file is what a test can have its clients do on another machine: see package guest.

// insideEnds is how long they may take to leave.
const insideEnds = 10 * time.Second

// Inside is what the other process can be told to do; package net/rpc wants it exported. One process is one client.
type Inside struct {
	life context.Context //nolint:containedctx // ends with the process
	pub  *client.Publisher
	sub  *client.Subscriber
	tab  *chromium.Tab
}

// Visit says where a Go client connects.
type Visit struct {
	Node string // base URL of the node for the POST
	Home string // base URL of the node that gets all later requests
	Room string
	ID   string
}

// Awaited is a packet to be waited for.
type Awaited struct {
	Pub, Track string
	After      time.Time
}

// serveInside answers calls until the standard input ends, then leaves in order.
func serveInside() error {
	life, end := context.WithCancel(context.Background())
	in := &Inside{life: life}
	err := guest.Serve(in)
	if in.pub != nil {
		in.pub.Hangup()
	}
	if in.sub != nil {
		in.sub.Hangup()
	}
	in.tab.Close()
	end()
	return err
}

// homing sends every request but the POST to another node.
type homing struct{ home string }

// RoundTrip implements http.RoundTripper.
func (h homing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		home, err := url.Parse(h.home)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.URL.Host, r.Host = home.Host, home.Host
	}
	return insecure().Transport.RoundTrip(r)
}

func (v Visit) config() client.Config {
	return client.Config{URL: v.Node, Room: v.Room, ID: v.ID, HTTP: &http.Client{Transport: homing{v.Home}, Timeout: 5 * time.Second}}
}

// Publish starts a publisher with a microphone and a camera, and gives the URL of its session.
func (in *Inside) Publish(v Visit, location *string) (err error) {
	ctx, cancel := context.WithTimeout(in.life, 10*time.Second)
	defer cancel()
	if in.pub, err = client.Publish(ctx, v.config(), client.Microphone(), client.Camera(synth.VP8, synth.Burst)); err == nil {
		*location = in.pub.Location()
	}
	return err
}

// Subscribe starts a subscriber and gives the URL of its session.
func (in *Inside) Subscribe(v Visit, location *string) (err error) {
	ctx, cancel := context.WithTimeout(in.life, 10*time.Second)
	defer cancel()
	if in.sub, err = client.Subscribe(ctx, v.config(), 1, 1); err == nil {
		*location = in.sub.Location()
	}
	return err
}

// Restart is an ICE restart by PATCH, with the addresses that the machine has now.
func (in *Inside) Restart(_ guest.Nothing, _ *guest.Nothing) error {
	ctx, cancel := context.WithTimeout(in.life, 10*time.Second)
	defer cancel()
	return in.session().ICERestart(ctx)
}

// Arrival gives the time of a packet of a track, the first after a time if it is asked for in time.
func (in *Inside) Arrival(a Awaited, at *time.Time) (err error) {
	*at, err = arrivalAfter(in.life, in.sub, a)
	return err
}

// Ping sends PING on the control channel and waits for its PONG: both directions work.
func (in *Inside) Ping(text string, _ *guest.Nothing) error {
	s := in.session()
	if err := s.Send(control.Ping{Text: text}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(in.life, 10*time.Second)
	defer cancel()
	_, err := s.Await(ctx, func(m control.Message) bool { return m == control.Pong{Text: text} })
	return err
}

func (in *Inside) session() *client.Session {
	if in.pub != nil {
		return in.pub.Session
	}
	return in.sub.Session
}

// arrivalAfter is Arrival for a subscriber of this process.
func arrivalAfter(ctx context.Context, s *client.Subscriber, a Awaited) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	st, err := s.AwaitTrack(ctx, a.Pub, a.Track, func(st arrival.Stats) bool { return st.LastAt.After(a.After) })
	return st.LastAt, err
}

// Browse starts Chromium and opens a page.
func (in *Inside) Browse(p chromium.Page, _ *guest.Nothing) (err error) {
	in.tab, err = chromium.Open(in.life, p)
	return err
}

// Eval runs the body of an async function in the page and gives its result as JSON.
func (in *Inside) Eval(body string, result *[]byte) (err error) {
	*result, err = in.tab.Eval(body)
	return err
}
