package relay

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/nodecall"
	"weever/mediad/internal/udpio"
	"weever/shared/eventually"
	"weever/shared/room"
	"weever/shared/testkit"
)

// TestGarbageOnTheBus is counted and does no harm.
func TestGarbageOnTheBus(t *testing.T) {
	url := testkit.NATS(t)
	a, b := startNode(t, "aaaa", url, url), startNode(t, "bbbb", url, url)
	k := key(t, "video0", "")
	p := publish(t, a, k, videoTrack)
	v := newViewer(t)
	open(t, b, k, a.owner(), videoTrack).Stream().Attach(v)
	eventually.True(t, limit, "the lease", func() bool { return a.Stats().Leases == 1 })
	subject, err := k.subject("test.v1.rtp.")
	if err != nil {
		t.Fatal(err)
	}
	for _, garbage := range []string{"", "\x02abcdefgh", "\x01\x00\x00\x00\x00\x00\x01"} {
		if err := a.media.Publish(subject, []byte(garbage)); err != nil {
			t.Fatal(err)
		}
	}
	p.frame(true, 3)
	v.awaitSeq(p.seq - 1)
	eventually.True(t, limit, "the count", func() bool { return b.Stats().Drops["unreadable"] == 3 })
	for _, verb := range []string{verbInterest, verbReplay, verbKeyframe, verbMeter} {
		var remote *nodecall.RemoteError
		if _, err := b.cfg.Calls.Call(t.Context(), "aaaa", verb, []byte("garbage")); !errors.As(err, &remote) || remote.Code != nodecall.Failed {
			t.Errorf("%s: %v", verb, err)
		}
		if _, err := b.cfg.Calls.Call(t.Context(), "aaaa", verb, []byte(`{"subject":"test.v1.rtp.no.such.1.video0._","ttl_ms":5}`)); !errors.As(err, &remote) || remote.Code != unknownStream {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

// stuck is a Sink that breaks its promise not to block.
type stuck struct {
	began   chan struct{}
	release chan struct{}
}

func (s *stuck) WritePackets(*udpio.Batch, []fanout.Packet) {
	select {
	case s.began <- struct{}{}:
	default:
	}
	<-s.release
}

func (s *stuck) WriteReport(*udpio.Batch, fanout.SenderReport) {}

// TestSlowNode: a node that does not keep up loses media, counted, and holds up neither the owner nor another node.
func TestSlowNode(t *testing.T) {
	url := testkit.NATS(t)
	a, b, c := startNode(t, "aaaa", url, url), startNode(t, "bbbb", url, url), startNode(t, "cccc", url, url)
	k := key(t, "video0", "")
	p := publish(t, a, k, videoTrack)
	slow := &stuck{began: make(chan struct{}, 1), release: make(chan struct{})}
	release := sync.OnceFunc(func() { close(slow.release) })
	t.Cleanup(release)
	open(t, b, k, a.owner(), videoTrack).Stream().AttachLive(slow)
	v := newViewer(t)
	open(t, c, k, a.owner(), videoTrack).Stream().Attach(v)
	eventually.True(t, limit, "the leases", func() bool { return a.Stats().Leases == 2 })
	p.frame(true, 1)
	eventually.True(t, limit, "the first packet that is not out of the owner's history", func() bool {
		p.frame(false, 1)
		return len(slow.began) > 0
	})
	for range 2 * maxWaiting {
		p.frame(false, 1)
		v.awaitSeq(p.seq - 1)
	}
	v.check(65530, p.seq-1)
	eventually.True(t, limit, "the count of what was lost", func() bool { return b.Stats().Drops["slow_consumer"] > 0 })
	release()
	eventually.True(t, limit, "the count of the hole", func() bool {
		p.frame(true, 1) // until one finds room: only what comes after a hole shows it
		return b.Stats().Drops["lost_on_bus"] > 0
	})
}

func TestSubject(t *testing.T) {
	for _, tc := range []struct {
		track, layer, want string // "": refused
	}{
		{"video0", "", "x.room~1.alice-screen+tab2.12.video0._"},
		{"audio1", "h", "x.room~1.alice-screen+tab2.12.audio1.h"},
		{"video0", "q_1-A", "x.room~1.alice-screen+tab2.12.video0.q_1-A"},
		{"video0", "_", ""},
		{"video0", ">", ""},
		{"video0", "*", ""},
		{"video0", "a.b", ""},
		{"video0", "a b", ""},
		{"video0", "ä", ""},
		{"video0", strings.Repeat("x", 17), ""},
		{"", "h", ""},
		{"video0.x", "h", ""},
	} {
		k := key(t, tc.track, tc.layer)
		got, err := k.subject("x.")
		if got != tc.want || (err == nil) != (tc.want != "") || err != nil && !errors.Is(err, ErrKey) {
			t.Errorf("%+v: %q, %v, want %q", k, got, err, tc.want)
		}
	}
	if _, err := (Key{Track: "video0"}).subject("x."); !errors.Is(err, ErrKey) {
		t.Errorf("without room and publisher: %v", err)
	}
}

func TestMisuse(t *testing.T) {
	url := testkit.NATS(t)
	nc, log := connect(t, url), slog.New(slog.DiscardHandler)
	calls, err := nodecall.New(nc, "test", "aaaa", log)
	if err != nil {
		t.Fatal(err)
	}
	good := Config{Media: nc, Calls: calls, Namespace: "test", Instance: "aaaa", Log: log}
	for name, change := range map[string]func(*Config){
		"no connection": func(c *Config) { c.Media = nil },
		"no calls":      func(c *Config) { c.Calls = nil },
		"no log":        func(c *Config) { c.Log = nil },
		"no namespace":  func(c *Config) { c.Namespace = "" },
		"no instance":   func(c *Config) { c.Instance = "" },
		"long TTL":      func(c *Config) { c.TTL = time.Minute },
		"slow renewal":  func(c *Config) { c.Renew = 5 * time.Second },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	r, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(good); err == nil {
		t.Error("two relays on one Calls")
	}
	bad := key(t, "video0", ">")
	if _, err := r.Open(bad, room.Owner{}, videoTrack); !errors.Is(err, ErrKey) {
		t.Errorf("Open: %v", err)
	}
	if _, err := r.Publish(bad, nil); !errors.Is(err, ErrKey) {
		t.Errorf("Publish: %v", err)
	}
	if _, err := r.Open(key(t, "video0", ""), room.Owner{Instance: "bbbb"}, room.Track{Codec: "nonsense"}); err == nil {
		t.Error("a track of an unknown kind was opened")
	}
	stream, err := fanout.NewStream(fanout.StreamConfig{Codec: "video/VP8", Clock: 90000})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	k := key(t, "video0", "")
	if _, err := r.Publish(k, stream); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Publish(k, stream); err == nil {
		t.Error("one key was published twice")
	}
}
