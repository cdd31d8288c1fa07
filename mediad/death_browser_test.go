package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

// moveLimit is the longest time for which a picture may stand still after the node of a page was killed.
const moveLimit = 5 * time.Second

// framesKit notes in kit.frames when the pictures of a session were decoded: Date.now, which is the test's clock, too.
const framesKit = `
	kit.frames = [];
	(async () => {
		for (let was = 0;;) {
			const stats = await kit.sessions.%[1]s.getStats().catch(() => new Map());
			let n = 0;
			for (const s of stats.values()) if (s.type === 'inbound-rtp' && s.kind === 'video') n += s.framesDecoded ?? 0;
			if (n > was) kit.frames.push(Date.now());
			was = n;
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
	})();`

// behindBalancer runs three processes that serve the site, and a balancer that takes turns among them.
func behindBalancer(t *testing.T) (*fleet, *testkit.Balancer) {
	t.Helper()
	f := launchFleet(t, newCluster(t, 3), "--site")
	var behind []testkit.BalancedNode
	for i, n := range f.nodes {
		behind = append(behind, testkit.BalancedNode{Name: "node-" + strconv.Itoa(i), Addr: n.public, Check: n.private})
	}
	return f, testkit.HAProxy(t, "", behind...)
}

// nodesOf names the nodes of a room's publishers and of its viewers.
func (f *fleet) nodesOf(t *testing.T, rm string) (pubs, subs []string) {
	t.Helper()
	p, err := f.store.Publishers(t.Context(), roomtest.Name(t, rm))
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.store.Subscribers(t.Context(), roomtest.Name(t, rm))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range p {
		pubs = append(pubs, e.Owner.Node)
	}
	for _, e := range s {
		subs = append(subs, e.Owner.Node)
	}
	return pubs, subs
}

// apart opens a publisher on one page and a viewer on another until they sit on two nodes, and names these.
func (f *fleet) apart(t *testing.T, speaker, viewer context.Context) (pub, sub string) { //nolint:revive // the test comes first
	t.Helper()
	eval[any](t, speaker, pageKit+`await kit.publish('alice', 'tea')`)
	await(t, "her record", 10*time.Second, func() bool { pubs, _ := f.nodesOf(t, "tea"); return len(pubs) == 1 })
	eval[any](t, viewer, pageKit)
	for range 5 {
		eval[any](t, viewer, `kit.sessions.bob?.leave(); await kit.subscribe('bob', 'tea')`)
		var pubs, subs []string
		await(t, "the viewer's record", 10*time.Second, func() bool { pubs, subs = f.nodesOf(t, "tea"); return len(subs) == 1 })
		if pubs[0] != subs[0] {
			return pubs[0], subs[0]
		}
	}
	t.Fatal("the balancer does not take turns")
	return "", ""
}

// A node is killed under a page that publishes, then under one that watches. weever.js notices it, opens a new session through the
// balancer, and the picture moves again.
func TestNodeDiesUnderAPage(t *testing.T) {
	for _, who := range []string{"publisher", "viewer"} {
		t.Run(who, func(t *testing.T) {
			f, b := behindBalancer(t)
			chrome := browser(t)
			pages := map[string]context.Context{"publisher": page(t, chrome, b.URL+"/"), "viewer": page(t, chrome, b.URL+"/")}
			pub, sub := f.apart(t, pages["publisher"], pages["viewer"])
			victim := map[string]string{"publisher": pub, "viewer": sub}[who]
			watching := pages["viewer"]
			eval[any](t, watching, fmt.Sprintf(framesKit, "bob"))
			await(t, "a picture that moves", 15*time.Second, func() bool {
				return eval[int](t, watching, `return kit.frames.filter((at) => at > Date.now() - 1000).length`) > 10
			})
			posts := eval[int](t, pages[who], postsJS)

			i, _ := strconv.Atoi(strings.TrimPrefix(victim, "node-"))
			killed := time.Now()
			f.nodes[i].kill(t)

			var still time.Duration
			await(t, "the picture to move again", 30*time.Second, func() bool {
				var resumed bool
				still, resumed = stoodStill(eval[[]int64](t, watching, `return kit.frames`), killed)
				return resumed
			})
			notes := eval[[]string](t, pages[who], fmt.Sprintf(`return kit.log.filter((line) => Number(line.split(' ')[0]) >= %d)`, killed.UnixMilli()))
			t.Logf("%s's node killed: the picture stood still for %v\n%s", who, still, strings.Join(since(notes, killed), "\n"))
			if still > moveLimit {
				t.Errorf("the picture stood still for %v, at most %v is allowed", still, moveLimit)
			}
			if n := eval[int](t, pages[who], postsJS); n != posts+1 {
				t.Errorf("%d sessions were opened before, %d after", posts, n)
			}
			pubs, subs := f.nodesOf(t, "tea")
			if len(pubs) != 1 || slices.Contains(pubs, victim) {
				t.Errorf("publishers are recorded at %v; %s is dead", pubs, victim)
			}
			t.Logf("now the publisher is at %v, viewers at %v", pubs, subs)
		})
	}
}

// stoodStill is the longest time without a picture since a moment, and whether pictures have come for a second after it.
func stoodStill(frames []int64, since time.Time) (time.Duration, bool) {
	was, longest, end := since.UnixMilli(), int64(0), int64(0)
	for _, at := range frames {
		if at < since.UnixMilli() {
			continue
		}
		if at-was > longest {
			longest, end = at-was, at
		}
		was = at
	}
	// Shorter than a second is no standstill: it has not begun yet.
	return time.Duration(longest) * time.Millisecond, longest > 1000 && was-end > 1000
}

// since writes the times of a page's notes as they are after a moment.
func since(notes []string, moment time.Time) []string {
	var out []string
	for _, line := range notes {
		at, rest, _ := strings.Cut(line, " ")
		ms, _ := strconv.ParseInt(at, 10, 64)
		out = append(out, fmt.Sprintf("%5d ms %s", ms-moment.UnixMilli(), rest))
	}
	return out
}
