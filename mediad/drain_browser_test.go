package main

import (
	"slices"
	"testing"
	"time"
)

// screenLimit is the longest time for which a picture may stand still on a page whose node drains.
const screenLimit = time.Second

// watchKit shows what a session of pageKit receives in an element of the page, as an application would, and notes when each picture was
// shown.
const watchKit = `
	const until = async (get) => { for (;;) { const v = get(); if (v) return v; await new Promise((r) => setTimeout(r, 20)); } };
	const peer = await until(() => [...kit.sessions.bob.peers.values()].find((p) => p.tracks.has('video0')));
	const video = document.body.appendChild(document.createElement('video'));
	Object.assign(video, { muted: true, autoplay: true, srcObject: peer.stream });
	kit.shown = [];
	const note = () => { kit.shown.push(performance.now()); video.requestVideoFrameCallback(note); };
	video.requestVideoFrameCallback(note);
	await video.play();
	kit.video = video;
	kit.stream = peer.stream;`

// onScreen is what was shown since a number of pictures, and for how long at most one stood still, in milliseconds.
type onScreen struct {
	Pictures int
	Longest  float64
}

const onScreenJS = `
	const shown = kit.shown.slice(kit.from - 1);
	let Longest = performance.now() - shown.at(-1);
	shown.forEach((at, i) => { if (i > 0) Longest = Math.max(Longest, at - shown[i - 1]); });
	return { Pictures: shown.length - 1, Longest };`

// postsJS counts the POSTs that made a session.
const postsJS = `return kit.log.filter((line) => line.endsWith('POST 201')).length`

// A page publishes and watches through a balancer. First the node of one is emptied, then that of the other: the picture goes on, in the
// very stream that the page was given.
func TestDrainInTheBrowser(t *testing.T) {
	c := newCluster(t, 3)
	var nodes []*testNode
	for i := range 3 {
		cfg := c.siteConfig(i)
		cfg.Node.DrainTimeout = time.Minute
		nodes = append(nodes, start(t, cfg))
	}
	b := balanceReady(t, nodes)
	p := page(t, browser(t), b.URL+"/")
	eval[any](t, p, pageKit)
	eval[any](t, p, `await kit.publish('alice', 'tea'); await kit.subscribe('bob', 'tea');`+watchKit)
	defer eval[any](t, p, `for (const s of Object.values(kit.sessions)) s.leave();`) // or the nodes would wait for them
	for _, who := range []string{"viewer", "publisher"} {
		t.Run(who, func(t *testing.T) {
			await(t, "a picture that moves", 10*time.Second, func() bool {
				return eval[int](t, p, `return kit.shown.filter((at) => at > performance.now() - 1000).length`) > 10
			})
			eval[any](t, p, `kit.from = kit.shown.length`)
			posts := eval[int](t, p, postsJS)
			from := nodes[slices.IndexFunc(nodes, func(n *testNode) bool {
				publishers, viewers := n.sessions.Counts()
				return map[string]int{"viewer": viewers, "publisher": publishers}[who] == 1
			})]
			publishers, viewers := from.sessions.Counts()
			began := time.Now()
			if status, body := preStop(t, from, ""); status != 200 || body["left"] != 0.0 {
				t.Errorf("%d %v", status, body)
			}
			took := time.Since(began)
			var got onScreen
			await(t, "more pictures", 10*time.Second, func() bool {
				got = eval[onScreen](t, p, onScreenJS)
				return got.Pictures > 60
			})
			t.Logf("%d publishers and %d viewers left in %v; a picture stood still for %.0f ms at most", publishers, viewers, took, got.Longest)
			if got.Longest > float64(screenLimit.Milliseconds()) || took > 10*time.Second {
				t.Errorf("%+v after %v", got, took)
			}
			if n := eval[int](t, p, postsJS); n != posts+publishers+viewers {
				t.Errorf("%d POSTs, then %d", posts, n)
			}
			if same := eval[bool](t, p, `return [...kit.sessions.bob.peers.values()][0].stream === kit.stream && kit.video.srcObject === kit.stream && !kit.video.paused`); !same {
				t.Error("the page has another stream than before")
			}
			if status, _ := preStop(t, from, "?cancel=1"); status != 200 {
				t.Errorf("calling it off: %d", status)
			}
		})
	}
}
