package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/control"
	"weever/mediad/internal/talk"
	"weever/shared/room/roomtest"
)

// talkers is a cluster with authentication and two subscribers on each node: "t0" to "t2" may say, "m0" to "m2" may not.
type talkers struct {
	nodes []*testNode
	may   []*client.Subscriber
	mute  []*client.Subscriber
}

func startTalkers(t *testing.T) *talkers {
	t.Helper()
	c := newCluster(t, 3)
	k := &talkers{}
	for i := range 3 {
		cfg := c.config(i)
		cfg.Auth.On = true
		k.nodes = append(k.nodes, start(t, cfg))
	}
	for i := range 3 {
		k.may = append(k.may, k.join(t, i, fmt.Sprintf("t%d", i), true))
		k.mute = append(k.mute, k.join(t, i, fmt.Sprintf("m%d", i), false))
	}
	// Between NATS servers a subscription travels on its own: talk about nothing until everybody hears everybody.
	for i, s := range k.may {
		await(t, "all to hear "+fmt.Sprint(i), 10*time.Second, func() bool {
			say(t, s, `"hello"`)
			return !slices.ContainsFunc(append(slices.Clone(k.may), k.mute...), func(other *client.Subscriber) bool {
				return other != s && len(heard(other, fmt.Sprintf("t%d", i))) == 0
			})
		})
	}
	return k
}

func (k *talkers) join(t *testing.T, node int, id string, mayTalk bool) *client.Subscriber {
	t.Helper()
	body := fmt.Sprintf(`{"room":"tea","id":%q,"token":%q,"say":%v}`, id, "token of "+id, mayTalk)
	r := do(t, "POST", k.nodes[node].PrivateURL()+"/create/sub", body, map[string]string{"Content-Type": "application/json"})
	if r.status != 200 {
		t.Fatalf("create: %+v", r)
	}
	return k.enter(t, node, id)
}

func (k *talkers) enter(t *testing.T, node int, id string) *client.Subscriber {
	t.Helper()
	conf := clientConfig(k.nodes[node], "tea", id)
	conf.Token = "token of " + id
	return subscribeOffering(t, conf, 0, 0)
}

func say(t *testing.T, s *client.Subscriber, text string) {
	t.Helper()
	if err := s.Say(json.RawMessage(text)); err != nil {
		t.Fatal(err)
	}
}

// heard is what a subscriber was told that somebody said; greetings do not count twice.
func heard(s *client.Subscriber, from string) (texts []string) {
	for _, m := range s.Log() {
		if said, ok := m.(control.Said); ok && said.From.String() == from && !slices.Contains(texts, string(said.JSON)) {
			texts = append(texts, string(said.JSON))
		}
	}
	return texts
}

// refusal waits for an ERR SAY behind a position of the log.
func refusal(t *testing.T, s *client.Subscriber, from int, why string) {
	t.Helper()
	_, _, err := s.AwaitFrom(within(t, 5*time.Second), from, func(m control.Message) bool {
		e, ok := m.(control.Err)
		return ok && e.Word == control.WordSay && strings.Contains(e.Reason, why)
	})
	if err != nil {
		t.Errorf("no ERR SAY with %q: %v", why, err)
	}
}

// refusals is how often a session was told that it may not say something.
func refusals(s *client.Subscriber) (n int) {
	for _, m := range s.Log() {
		if e, ok := m.(control.Err); ok && e.Word == control.WordSay {
			n++
		}
	}
	return n
}

// pause lets a session say as much as it may at once again.
func pause(t *testing.T) {
	t.Helper()
	<-time.After(2 * time.Second) // the rate itself
}

// What a subscriber says comes to all others of the room, on every node, in order and once; not back to its own session.
func TestSay(t *testing.T) {
	k := startTalkers(t)
	twin := k.enter(t, 2, "t0") // another session of the very same full id, on another node
	near := k.enter(t, 0, "t0")
	pause(t)
	var want []string
	positions := map[*client.Subscriber]int{}
	for _, s := range append(slices.Clone(k.may), append(k.mute, twin, near)...) {
		positions[s] = len(s.Log())
	}
	for i := range 15 {
		text := fmt.Sprintf(`{"n": %d, "text": "<b>ü</b>"}`, i)
		want = append(want, text)
		say(t, k.may[0], text)
	}
	for _, s := range []*client.Subscriber{k.may[1], k.may[2], k.mute[0], k.mute[1], k.mute[2], twin, near} {
		from := positions[s]
		for _, w := range want {
			var err error
			_, from, err = s.AwaitFrom(within(t, 5*time.Second), from, func(m control.Message) bool {
				said, ok := m.(control.Said)
				if ok && said.From.String() == "t0" && string(said.JSON) != w {
					t.Fatalf("heard %s, want %s", said.JSON, w)
				}
				return ok && said.From.String() == "t0"
			})
			if err != nil {
				t.Fatalf("%s: %v", w, err)
			}
		}
	}
	// A round trip over each of its paths later there is no echo either.
	say(t, k.may[1], `"end"`)
	say(t, k.may[2], `"end"`)
	for _, from := range []string{"t1", "t2"} {
		await(t, from+" to be heard", 5*time.Second, func() bool { return slices.Contains(heard(k.may[0], from), `"end"`) })
	}
	if echo := heard(k.may[0], "t0"); len(echo) != 0 {
		t.Errorf("the sender heard itself: %v", echo)
	}
	for s, from := range positions {
		n := 0
		for _, m := range s.Log()[from:] {
			if said, ok := m.(control.Said); ok && said.From.String() == "t0" {
				n++
			}
		}
		if want := map[bool]int{true: 0, false: len(want)}[s == k.may[0]]; n != want {
			t.Errorf("%s heard %d messages, want %d", s.Location(), n, want)
		}
		if f := s.Faults(); len(f) != 0 {
			t.Errorf("faults: %v", f)
		}
	}
}

// Without the right, beyond 16 KiB, without JSON, or too fast: ERR SAY, and nobody hears it.
func TestSayRefused(t *testing.T) {
	k := startTalkers(t)
	pause(t)
	refuse := func(s *client.Subscriber, text, why string) {
		t.Helper()
		from := len(s.Log())
		if err := s.Send(control.Unknown{Text: "SAY " + text}); err != nil { // Send would refuse it itself
			t.Fatal(err)
		}
		refusal(t, s, from, why)
	}
	refuse(k.mute[0], `"x"`, "right to say")
	largest := `"` + strings.Repeat("x", control.MaxSay-2) + `"`
	refuse(k.may[0], largest+" ", "16384 bytes")
	refuse(k.may[0], `{"text":`, "JSON")
	refuse(k.may[0], ``, "JSON")
	say(t, k.may[0], largest)
	for _, s := range []*client.Subscriber{k.mute[0], k.mute[2]} {
		await(t, "the largest message", 5*time.Second, func() bool { return slices.Contains(heard(s, "t0"), largest) })
		if got := heard(s, "t0"); len(got) != 2 { // and the greeting
			t.Errorf("heard %d things", len(got))
		}
		if got := heard(s, "m0"); len(got) != 0 {
			t.Errorf("somebody without the right was heard: %v", got)
		}
	}
	from := len(k.may[1].Log())
	for i := range 60 {
		say(t, k.may[1], fmt.Sprint(i))
	}
	refusal(t, k.may[1], from, "too much")
	if _, err := k.may[1].Ping(within(t, 5*time.Second), "after the flood"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.mute[1].Ping(within(t, 5*time.Second), "after the flood"); err != nil {
		t.Fatal(err)
	}
	if n := len(heard(k.mute[1], "t1")); n < 20 || n > 45 { // 20 at once, 10 a second
		t.Errorf("%d of 60 were heard", n)
	}
}

// A viewer whose network stands still loses what others say while too much waits for it, which is counted; it stays, and hears the
// others again, who lose nothing.
func TestSaySlowViewer(t *testing.T) {
	k := startTalkers(t)
	pause(t)
	slow, quick := k.mute[2], k.mute[1]
	said := 1 // the greeting
	defer func() {
		for i, n := range k.nodes {
			if t.Failed() {
				t.Logf("node %d dropped %v; t%d was heard %d times of %d and refused %d times", i, n.talk.Drops(), i, len(heard(quick, fmt.Sprint("t", i))), said, refusals(k.may[i]))
			}
		}
	}()
	slow.SetNetwork(false)
	filling := strings.Repeat("x", 15_000)
	rate := time.NewTicker(110 * time.Millisecond) // just below the limit
	defer rate.Stop()
	for k.nodes[2].talk.Drops()[talk.ViewerQueue] < 5 {
		if said == 80 {
			t.Fatalf("nothing is lost: %v", k.nodes[2].talk.Drops())
		}
		for _, s := range k.may { // from its own node and from others
			say(t, s, fmt.Sprintf(`"%02d %s"`, said, filling))
		}
		said++
		<-rate.C
		for i, from := range []string{"t0", "t1", "t2"} { // before more is said: on a busy machine nobody is quick
			await(t, "all to be heard by the quick and by her neighbour", 20*time.Second, func() bool {
				all := said - refusals(k.may[i])
				return len(heard(quick, from)) == all && (i == 1 || len(heard(k.may[1], from)) == all)
			})
		}
	}
	t.Logf("lost after %d rounds", said)
	slow.SetNetwork(true)
	await(t, "the slow viewer to hear again", 20*time.Second, func() bool {
		say(t, k.may[0], `"there?"`)
		return slices.Contains(heard(slow, "t0"), `"there?"`)
	})
	if n := len(heard(slow, "t0")) + len(heard(slow, "t1")) + len(heard(slow, "t2")); n > 3*said-5 {
		t.Errorf("it heard %d of %d", n, 3*said)
	}
	if d := k.nodes[1].talk.Drops(); d != (talk.Drops{}) {
		t.Errorf("the node of the quick dropped %v", d)
	}
}

// Who speaks is told by every node, loudest first, and when all fall silent an empty list, once.
func TestSpeakers(t *testing.T) {
	nodes := startNodes(t, 3)
	alice := publish(t, nodes[0], "tea", "alice+1", client.Microphone())
	bob := publish(t, nodes[1], "tea", "bob+1", client.Microphone())
	level := func(p *client.Publisher, l uint8) {
		t.Helper()
		if err := p.SetLevel(0, l); err != nil {
			t.Fatal(err)
		}
	}
	level(alice, 20)
	level(bob, 50)
	viewers := []*client.Subscriber{subscribe(t, nodes[0], "tea", "near"), subscribe(t, nodes[2], "tea", "far")}
	expect := func(what string, want ...control.Speaker) {
		t.Helper()
		for _, v := range viewers {
			_, err := v.Await(within(t, 10*time.Second), func(control.Message) bool {
				got, ok := last(v)
				return ok && slices.EqualFunc(got, want, func(x, y control.Speaker) bool {
					return x.Pub == y.Pub && max(x.Level, y.Level)-min(x.Level, y.Level) < 5
				})
			})
			if err != nil {
				got, _ := last(v)
				t.Fatalf("%s: told %v, want %v: %v", what, got, want, err)
			}
		}
	}
	a, b := roomtest.FullID(t, "alice+1"), roomtest.FullID(t, "bob+1")
	expect("both", control.Speaker{Pub: a, Level: 20}, control.Speaker{Pub: b, Level: 50})
	level(alice, 70)
	expect("the other way round", control.Speaker{Pub: b, Level: 50}, control.Speaker{Pub: a, Level: 70})
	level(bob, 127)
	expect("one", control.Speaker{Pub: a, Level: 70})
	if err := alice.Mute(0, true); err != nil { // no packets at all
		t.Fatal(err)
	}
	expect("nobody")
	level(bob, 30)
	expect("bob again", control.Speaker{Pub: b, Level: 30})
	bob.Hangup()
	expect("nobody after she left")
	for _, v := range viewers {
		times, empty := 0, 0
		for _, m := range v.Log() {
			s, ok := m.(control.Speakers)
			if !ok {
				continue
			}
			times++
			if len(s.Speakers) == 0 {
				empty++
			}
		}
		if empty != 2 {
			t.Errorf("told %d times that nobody is heard, want 2", empty)
		}
		if times > 40 {
			t.Errorf("told %d times", times)
		}
	}
}

// last is whom a subscriber was last told to be heard.
func last(s *client.Subscriber) ([]control.Speaker, bool) {
	for _, m := range slices.Backward(s.Log()) {
		if told, ok := m.(control.Speakers); ok {
			return told.Speakers, true
		}
	}
	return nil, false
}
