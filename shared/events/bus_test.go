package events

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"weever/shared/logtest"
	"weever/shared/room"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

const limit = 10 * time.Second

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1), nats.IgnoreDiscoveredServers())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func bus(t *testing.T, url string) *Bus {
	t.Helper()
	return New(connect(t, url), "test", slog.New(slog.DiscardHandler))
}

func subscribe(t *testing.T, b *Bus, rm room.Name) <-chan Event {
	t.Helper()
	got := make(chan Event, 10000)
	stop, err := b.Subscribe(rm, func(ev Event) { got <- ev })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return got
}

func want(t *testing.T, got <-chan Event, want Event) {
	t.Helper()
	select {
	case ev := <-got:
		if !reflect.DeepEqual(ev, want) {
			t.Fatalf("got %+v, want %+v", ev, want)
		}
	case <-time.After(limit):
		t.Fatalf("%+v did not come", want)
	}
}

func publish(t *testing.T, b *Bus, rm room.Name, ev Event) {
	t.Helper()
	if err := b.Publish(rm, ev); err != nil {
		t.Fatal(err)
	}
}

func TestEventsReachTheirRoomOnly(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		url := testkit.NATS(t)
		a, b := bus(t, url), bus(t, url)
		here, elsewhere := roomtest.Name(t, "here"), roomtest.Name(t, "elsewhere")
		gotHere, gotElsewhere := subscribe(t, b, here), subscribe(t, b, elsewhere)
		one, two, three := event(t, Up, "alice", 0, 1), event(t, Left, "alice", 1, 2), event(t, Up, "bob", 2, 3)
		publish(t, a, here, one)
		publish(t, a, here, two)
		publish(t, a, elsewhere, three)
		want(t, gotHere, one)
		want(t, gotHere, two)
		want(t, gotElsewhere, three)
		if len(gotHere) != 0 {
			t.Fatal("a room heard of another")
		}
		// Another installation on the same NATS.
		publish(t, New(a.nc, "other", a.log), here, one)
		publish(t, a, here, three)
		want(t, gotHere, three)
	})
}

func TestNothingComesAfterStop(t *testing.T) {
	url := testkit.NATS(t)
	b := bus(t, url)
	rm := roomtest.Name(t, "r")
	got := make(chan Event, 10)
	stop, err := b.Subscribe(rm, func(ev Event) { got <- ev })
	if err != nil {
		t.Fatal(err)
	}
	stop()
	stop()
	other := subscribe(t, b, rm)
	ev := event(t, Up, "alice", 0, 1)
	publish(t, b, rm, ev)
	want(t, other, ev)
	if len(got) != 0 {
		t.Fatal("an event came after stop")
	}
}

func TestGarbageIsDroppedCountedAndLoggedOnce(t *testing.T) {
	url := testkit.NATS(t)
	var text logtest.Buffer
	b := New(connect(t, url), "test", slog.New(slog.NewTextHandler(&text, nil)))
	rm := roomtest.Name(t, "r")
	got := subscribe(t, b, rm)
	for _, junk := range []string{"", "junk", "{}", strings.Repeat("x", maxEvent+1)} {
		if err := b.nc.Publish("test.v1.room.r", []byte(junk)); err != nil {
			t.Fatal(err)
		}
	}
	ev := event(t, Up, "alice", 0, 1)
	publish(t, b, rm, ev)
	want(t, got, ev)
	if st := b.Stats(); st != (Stats{Sent: 1, Heard: 1, Unreadable: 4}) {
		t.Fatalf("counted %+v", st)
	}
	if n := strings.Count(text.String(), "dropped; another"); n != 1 {
		t.Fatalf("logged %d times: %s", n, text.String())
	}
}

func TestSubscriptionsOutliveTheServer(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		srv := testkit.NATSCluster(t, 1)[0]
		a, b := bus(t, srv.URL), bus(t, srv.URL)
		rm := roomtest.Name(t, "r")
		got := subscribe(t, b, rm)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		back := b.Reconnects(ctx)
		for round := range 3 {
			srv.Stop()
			// While it is away, neither listening nor speaking waits or fails.
			late := subscribe(t, b, rm)
			publish(t, a, rm, event(t, Up, "alice", 0, 1))
			srv.Start()
			select {
			case <-back:
			case <-time.After(limit):
				t.Fatalf("round %d: no word of the return", round)
			}
			ev := event(t, Up, "bob", 1, int64(2+round))
			publish(t, b, rm, ev)
			for _, ch := range []<-chan Event{got, late} {
				first := <-ch
				for first.Publisher.FullID.String() == "alice" { // what a kept in its buffer
					first = <-ch
				}
				if !reflect.DeepEqual(first, ev) {
					t.Fatalf("round %d: got %+v", round, first)
				}
			}
		}
		cancel()
		for more := true; more; { // until it is closed
			_, more = <-back
		}
	})
}

func TestAClosedConnectionSaysSo(t *testing.T) {
	b := bus(t, testkit.NATS(t))
	b.nc.Close()
	rm := roomtest.Name(t, "r")
	if err := b.Publish(rm, event(t, Up, "alice", 0, 1)); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Fatalf("publish: %v", err)
	}
	if _, err := b.Subscribe(rm, func(Event) {}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Fatalf("subscribe: %v", err)
	}
	if err := b.Publish(rm, Event{}); !errors.Is(err, ErrEvent) {
		t.Fatalf("publishing nonsense: %v", err)
	}
}

// TestSlowReadersAreCounted, while they listen and afterwards.
func TestSlowReadersAreCounted(t *testing.T) {
	b := bus(t, testkit.NATS(t))
	b.nc.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	rm := roomtest.Name(t, "r")
	busy, free := make(chan struct{}), make(chan struct{})
	stop, err := b.Subscribe(rm, func(ev Event) {
		if ev.Seq == 1 {
			close(busy)
			<-free
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, rm, event(t, Up, "alice", 0, 1))
	<-busy
	for range maxPending + 100 {
		publish(t, b, rm, event(t, Up, "alice", 1, 2))
	}
	if err := b.nc.FlushTimeout(limit); err != nil {
		t.Fatal(err)
	}
	slow := b.Stats().Slow
	if slow < 1 || slow > 101 {
		t.Errorf("%d messages were lost, want about 100", slow)
	}
	stop()
	stop()
	if again := b.Stats().Slow; again != slow {
		t.Errorf("%d after the end, %d before", again, slow)
	}
	close(free)
}
