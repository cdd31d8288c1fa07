package talk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"weever/mediad/internal/control"
	"weever/shared/events"
	"weever/shared/eventually"
	"weever/shared/room"
	"weever/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 10 * time.Second

// hub is the Hub of one node, with its own connection.
type hub struct {
	*Hub
	nc *nats.Conn
}

func newHub(t *testing.T, url, instance string) hub {
	t.Helper()
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1), nats.IgnoreDiscoveredServers())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	log := slog.New(slog.DiscardHandler)
	return hub{New(Config{Bus: events.New(nc, "test", log), Instance: instance, Log: log}), nc}
}

// runHub is newHub, running until the test ends.
func runHub(t *testing.T, url, instance string) hub {
	t.Helper()
	h := newHub(t, url, instance)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
		if n := h.nc.NumSubscriptions(); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
	return h
}

func name(t *testing.T, s string) room.Name {
	t.Helper()
	rm, err := room.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return rm
}

func full(t *testing.T, s string) room.FullID {
	t.Helper()
	id, err := room.ParseFullID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (h hub) join(t *testing.T, rm, id string) *Seat {
	t.Helper()
	s := h.Join(name(t, rm), full(t, id), true)
	t.Cleanup(s.Leave)
	return s
}

// settle waits until the server knows what the hub listens to.
func (h hub) settle(t *testing.T, subscriptions int) {
	t.Helper()
	eventually.True(t, limit, fmt.Sprintf("%d subscriptions", subscriptions), func() bool { return h.nc.NumSubscriptions() == subscriptions })
	if err := h.nc.FlushTimeout(limit); err != nil {
		t.Fatal(err)
	}
}

func say(t *testing.T, s *Seat, text string) {
	t.Helper()
	if got := s.Say(control.Say{JSON: json.RawMessage(text)}); got != (control.OK{}) {
		t.Fatalf("saying %s: %v", text, got)
	}
}

// hears expects exactly these next.
func hears(t *testing.T, s *Seat, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case m := <-s.Heard():
			if text, err := control.Encode(m); err != nil || text != "SAID "+w {
				t.Fatalf("%s heard %s, %v; want %s", s.full, text, err, w)
			}
		case <-time.After(limit):
			t.Fatalf("%s did not hear %s", s.full, w)
		}
	}
}

func silent(t *testing.T, seats ...*Seat) {
	t.Helper()
	for _, s := range seats {
		if n := len(s.Heard()); n != 0 {
			t.Errorf("%s in %s heard %d messages", s.full, s.room, n)
		}
	}
}

func TestTheBusTakesWhatAClientMaySay(t *testing.T) {
	if events.MaxSaid != control.MaxSay {
		t.Errorf("clients may say %d bytes, the bus takes %d", control.MaxSay, events.MaxSaid)
	}
}

// Everybody else in the room hears it once and in order, on either node, and so do other sessions of the same full id.
func TestWhoHears(t *testing.T) {
	url := testkit.NATS(t)
	a, b := runHub(t, url, "a"), runHub(t, url, "b")
	alice, twin, bob := a.join(t, "tea", "alice"), a.join(t, "tea", "alice"), a.join(t, "tea", "bob")
	carol, far := b.join(t, "tea", "carol"), b.join(t, "tea", "alice")
	elsewhere := b.join(t, "coffee", "alice")
	a.settle(t, 1)
	b.settle(t, 2)
	var said []string
	for i := range 15 {
		text := fmt.Sprintf(`{"n": %d, "<": "ü"}`, i)
		say(t, alice, text)
		said = append(said, "alice "+text)
	}
	for _, s := range []*Seat{twin, bob, carol, far} {
		hears(t, s, said...)
	}
	say(t, carol, "1")
	for _, s := range []*Seat{far, alice, twin, bob} {
		hears(t, s, "carol 1") // and nothing of alice's came twice
	}
	silent(t, alice, twin, bob, carol, far, elsewhere)
}

func TestWhoMaySay(t *testing.T) {
	h := newHub(t, testkit.NATS(t), "a")
	listener := h.join(t, "tea", "bob")
	mute := h.Join(name(t, "tea"), full(t, "alice"), false)
	defer mute.Leave()
	refused := func(m control.Message, why string) {
		t.Helper()
		e, ok := m.(control.Err)
		if _, err := control.Encode(m); !ok || err != nil || e.Word != control.WordSay || !strings.Contains(e.Reason, why) {
			t.Errorf("answered %v, want an ERR SAY with %q", m, why)
		}
	}
	refused(mute.Say(control.Say{JSON: []byte("1")}), "right to say")
	talker := h.join(t, "tea", "carol")
	refused(talker.Say(control.Say{JSON: []byte("{")}), "JSON")
	var answers []control.Message
	for range 2 * burst {
		answers = append(answers, talker.Say(control.Say{JSON: []byte("2")}))
	}
	refused(answers[len(answers)-1], "too much")
	taken := len(slices.DeleteFunc(answers, func(m control.Message) bool { return m != control.OK{} }))
	if taken < burst-1 || taken > burst+perSecond {
		t.Errorf("%d of %d were taken", taken, 2*burst)
	}
	if n := len(listener.Heard()); n != taken {
		t.Errorf("%d were taken and %d heard", taken, n)
	}
}

// Who does not listen loses what comes beyond the bound, which is counted; the others lose nothing, and nobody waits.
func TestASlowViewerLoses(t *testing.T) {
	h := newHub(t, testkit.NATS(t), "a")
	slow, quick := h.join(t, "tea", "slow"), h.join(t, "tea", "quick")
	for n := range 4 {
		talker := h.join(t, "tea", fmt.Sprintf("t%d", n))
		for range burst {
			say(t, talker, "0")
			hears(t, quick, talker.full.String()+" 0")
		}
	}
	if got := len(slow.Heard()); got != queued {
		t.Errorf("%d wait for the slow one, want %d", got, queued)
	}
	lost := uint64(4*burst - queued)
	if d := h.Drops(); d[ViewerQueue] < lost {
		t.Errorf("counted %d, the slow one alone lost %d", d[ViewerQueue], lost)
	}
	named := map[string]uint64{}
	d := h.Drops()
	for reason, n := range d.Named() {
		named[reason] = n
	}
	if len(named) != 3 || named["viewer_queue_full"] < lost {
		t.Errorf("named: %v", named)
	}
}

// While NATS is away this node hears itself, at once; afterwards all is as before.
func TestWithoutTheBus(t *testing.T) {
	srv := testkit.NATSCluster(t, 1)[0]
	a, b := runHub(t, srv.URL, "a"), runHub(t, srv.URL, "b")
	alice, bob, carol := a.join(t, "tea", "alice"), a.join(t, "tea", "bob"), b.join(t, "tea", "carol")
	a.settle(t, 1)
	b.settle(t, 1)
	srv.Stop()
	eventually.True(t, limit, "the loss of NATS", func() bool { return !a.nc.IsConnected() && !b.nc.IsConnected() })
	say(t, alice, "1")
	hears(t, bob, "alice 1")
	eventually.True(t, limit, "the loss to be counted", func() bool { return a.Drops()[BusAway] == 1 })
	late := b.join(t, "cake", "late") // joins all the same
	srv.Start()
	eventually.True(t, limit, "NATS", func() bool { return a.nc.IsConnected() && b.nc.IsConnected() })
	b.settle(t, 2)
	say(t, alice, "2")
	hears(t, carol, "alice 2")
	say(t, a.join(t, "cake", "dave"), "3")
	hears(t, late, "dave 3")
}

func TestSubscriptionsFollowTheRooms(t *testing.T) {
	h := runHub(t, testkit.NATS(t), "a")
	one, two, other := h.join(t, "tea", "one"), h.join(t, "tea", "two"), h.join(t, "coffee", "other")
	h.settle(t, 2)
	one.Leave()
	one.Leave() // twice does no harm
	other.Leave()
	h.settle(t, 1)
	two.Leave()
	h.settle(t, 0)
	h.join(t, "tea", "three")
	h.settle(t, 1)
}

// What the bus does not take is lost and counted, and nothing waits for it.
func TestABusThatIsTooSlow(t *testing.T) {
	h := newHub(t, testkit.NATS(t), "a")
	for range queuedBus + 3 {
		h.send(name(t, "tea"), events.Said{Instance: "a", From: full(t, "alice"), JSON: []byte("1")})
	}
	if d := h.Drops(); d[BusQueue] != 3 {
		t.Errorf("counted %v", d)
	}
	h.nc.Close()
	seat := h.join(t, "tea", "bob") // cannot be subscribed
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	eventually.True(t, limit, "all to be lost", func() bool { return h.Drops()[BusAway] == queuedBus })
	say(t, h.join(t, "tea", "carol"), "1")
	hears(t, seat, "carol 1")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
}

func TestNobodysSeat(t *testing.T) {
	var s *Seat
	if s.Heard() != nil {
		t.Error("a WHEP player hears")
	}
	s.Leave()
}
