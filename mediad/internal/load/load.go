// Package load generates publishers and subscribers against a node and reports what they saw.
//
// Run opens all publishers, then all subscribers, a few at a time; when everybody is in, it counts for a while, and then ends all
// of them. Everything happens in this process: when it is short of CPU the numbers are about itself, so the report says how much
// it used. `mediad load` and the benchmarks call Run; nothing outlives it.
package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
)

// Config says what to generate. Zero values stand for the defaults.
type Config struct {
	URL    string // of a node or balancer: "https://host:8443"
	PubURL string // instead of URL: a WHIP endpoint, in which {room} and {id} are filled in
	SubURL string // instead of URL: a WHEP endpoint, likewise
	Room   string // "load"; with several rooms "-1", "-2", … are appended
	Token  string // bearer token of all sessions
	Rooms  int    // 1

	Pubs int  // publishers of each room
	Subs int  // subscribers of each room
	WHEP bool // subscribers are plain WHEP players of one publisher each, instead of receiving the whole room

	Meeting  bool // each publisher watches the others, too, under its own id; Subs is 0 then
	Sections int  // of each kind that a subscriber offers: 1. A node offers what it needs beyond them itself

	Traffic   synth.Model // Burst
	Codec     synth.Codec // of the video: VP8
	FPS       int         // frames a second of the video, as in synth.Config; so are the next two
	Packets   int         // packets of a frame
	AudioRate int         // packets of audio a second
	NoVideo   bool
	NoAudio   bool
	Duration  time.Duration // of the measurement: 10 s
	JoinLimit time.Duration // how long a session may take to its first packet: 15 s
	Parallel  int           // sessions that are opened at a time: 8

	Insecure bool         // accept any certificate
	TCP      bool         // media over ICE-TCP alone
	Reached  func(Stage)  `json:"-"` // is called at each stage, and the run goes on when it returns; nil: is not
	Log      *slog.Logger `json:"-"` // phases, and each failure at debug level; nil: silent
}

// Stage is how far a run has come. Media flow at all of them.
type Stage string

// The stages, in their order.
const (
	Published Stage = "published" // the publishers are in, nobody else
	Joined    Stage = "joined"    // everybody is in: the measurement begins next
	Measured  Stage = "measured"  // it is over; everybody is still in
)

// Largest values taken, so that a typing error does not take the machine down.
const (
	maxSessions = 100_000
	maxParallel = 1000
	maxSections = 100
)

// withDefaults fills in what is zero and names everything that is wrong, in one error.
func (c Config) withDefaults() (Config, error) {
	c.Room = cmp.Or(c.Room, "load")
	c.Rooms = cmp.Or(c.Rooms, 1)
	c.Traffic = cmp.Or(c.Traffic, synth.Burst)
	c.Codec = cmp.Or(c.Codec, synth.VP8)
	c.Duration = cmp.Or(c.Duration, 10*time.Second)
	c.JoinLimit = cmp.Or(c.JoinLimit, 15*time.Second)
	c.Parallel = cmp.Or(c.Parallel, 8)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	c.Sections = cmp.Or(c.Sections, 1)
	if c.Reached == nil {
		c.Reached = func(Stage) {}
	}
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.URL != "" || (c.PubURL != "" || c.Pubs == 0) && (c.SubURL != "" || c.Subs == 0), "a URL is required")
	for name, v := range map[string]string{"URL": c.URL, "WHIP URL": c.PubURL, "WHEP URL": c.SubURL} {
		u, err := url.Parse(strings.NewReplacer("{room}", "r", "{id}", "i").Replace(v))
		check(v == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", "%s %q: must begin with http:// or https:// and a host", name, v)
	}
	check(c.Pubs >= 0 && c.Subs >= 0 && c.Rooms > 0 && c.Pubs+c.Subs > 0, "publishers %d, subscribers %d, rooms %d: none may be negative and there must be somebody", c.Pubs, c.Subs, c.Rooms)
	check(c.Pubs+c.Subs <= maxSessions/max(c.Rooms, 1), "%d sessions in each of %d rooms: more than %d in all", c.Pubs+c.Subs, c.Rooms, maxSessions)
	check(!c.Meeting || c.Subs == 0 && !c.WHEP && c.PubURL+c.SubURL == "", "a meeting has no other subscribers, and not those of WHEP")
	check(c.Sections > 0 && c.Sections <= maxSections, "sections %d: must be 1 to %d", c.Sections, maxSections)
	check(c.Parallel > 0 && c.Parallel <= maxParallel, "parallel %d: must be 1 to %d", c.Parallel, maxParallel)
	check(c.Duration > 0 && c.JoinLimit > 0, "durations %v and %v: must be positive", c.Duration, c.JoinLimit)
	check(!c.NoVideo || !c.NoAudio, "neither video nor audio: nothing is left to send")
	check(c.Codec.Kind() == "video", "codec %q: must be one of video", c.Codec)
	if len(errs) == 0 {
		for _, t := range []client.Track{c.camera(), c.microphone()} {
			_, err := synth.New(t.Config)
			check(err == nil, "%w", err)
		}
	}
	return c, errors.Join(errs...)
}

// camera and microphone are what a publisher sends.
func (c *Config) camera() client.Track {
	return client.Track{Config: synth.Config{Codec: c.Codec, Model: c.Traffic, FPS: c.FPS, Packets: c.Packets}}
}

func (c *Config) microphone() client.Track {
	return client.Track{Config: synth.Config{Codec: synth.Opus, Model: c.Traffic, FPS: c.AudioRate}}
}

// Run does what cfg says. When ctx ends early, or when nobody could join, it returns what was seen until then along with the error.
// Single failures are no errors: the report counts them.
func Run(ctx context.Context, cfg Config) (Report, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Report{}, fmt.Errorf("load: %w", err)
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: cfg.Insecure}, //nolint:gosec // only when asked for
		MaxIdleConnsPerHost: cfg.Parallel,
		ForceAttemptHTTP2:   true,
	}
	defer transport.CloseIdleConnections()
	f := &fleet{cfg: cfg, http: &http.Client{Transport: transport, Timeout: cfg.JoinLimit}, errors: newTally()}
	defer f.close()

	cfg.Log.Info("opening publishers", "publishers", cfg.Pubs*cfg.Rooms)
	f.publish(ctx)
	cfg.Reached(Published)
	subscribers := cfg.Subs
	if cfg.Meeting {
		subscribers = cfg.Pubs
	}
	cfg.Log.Info("opening subscribers", "subscribers", subscribers*cfg.Rooms)
	f.subscribe(ctx, subscribers)
	cfg.Reached(Joined)
	cfg.Log.Info("measuring", "seconds", cfg.Duration.Seconds())
	begin := f.begin()
	select {
	case <-time.After(cfg.Duration):
	case <-ctx.Done():
	}
	report := f.report(begin)
	cfg.Reached(Measured)
	switch {
	case ctx.Err() != nil:
		return report, context.Cause(ctx)
	case report.Publishers.Joined+report.Subscribers.Joined == 0:
		if len(report.Errors) > 0 {
			return report, fmt.Errorf("load: nobody could join: %s", report.Errors[0].Text)
		}
		return report, errors.New("load: nobody could join")
	}
	return report, nil
}

// loopback reports whether a URL's host is this machine: then no other addresses are gathered.
func loopback(target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
