package main

import (
	"context"
	"net/url"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
	"weever/shared/testkit/chromium"
)

// browser starts one real Chromium with a fake camera and microphone for the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	alloc, stopAlloc := chromedp.NewExecAllocator(t.Context(), chromium.Flags(t.TempDir())...)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		stop()
		stopAlloc()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("%s does not start: %v; if it is missing: make setup, or apt-get install chromium", chromium.Path, err)
	}
	return ctx
}

// page opens a tab of the browser.
func page(t *testing.T, browser context.Context, address string) context.Context { //nolint:revive // the test comes first
	t.Helper()
	ctx, stop := chromedp.NewContext(browser)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatalf("opening %s: %v", address, err)
	}
	return ctx
}

// eval runs an async function body in the page and gives its result.
func eval[T any](t *testing.T, page context.Context, body string) T { //nolint:revive // the test comes first
	t.Helper()
	ctx, cancel := context.WithTimeout(page, 20*time.Second)
	defer cancel()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T]("(async () => {"+body+"})()", chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("in the page: %v\n%s", err, body)
	}
	return out
}

// received is what a page's subscriber has got so far.
type received struct {
	Frames, Audio, Video int
}

const receivedJS = `
	const out = {Frames: 0, Audio: 0, Video: 0};
	if (window.weever?.subscriber.state !== 'connected') return out;
	for (const s of (await window.weever.subscriber.getStats()).values()) {
		if (s.type !== 'inbound-rtp') continue;
		if (s.kind === 'video') { out.Frames += s.framesDecoded ?? 0; out.Video += s.packetsReceived; }
		else out.Audio += s.packetsReceived;
	}
	return out;`

// siteConfig is a node that serves the pages without auth.
func (c *cluster) siteConfig(i int) Config {
	cfg := c.config(i)
	cfg.Public.Site = true
	cfg.Auth.On = false
	return cfg
}

func joinURL(n *testNode, room, id string) string {
	return n.PublicURL() + "/?" + url.Values{"room": {room}, "id": {id}, "autojoin": {"1"}}.Encode()
}

// Two people on two nodes see and hear each other, through the pages that the nodes serve.
func TestBrowsersOnTwoNodes(t *testing.T) {
	c := newCluster(t, 3)
	a, b := start(t, c.siteConfig(0)), start(t, c.siteConfig(1))
	chrome := browser(t)
	pages := map[string]context.Context{
		"alice": page(t, chrome, joinURL(a, "tea", "alice")),
		"bob":   page(t, chrome, joinURL(b, "tea", "bob")),
	}
	for name, p := range pages {
		await(t, name+" to see and hear the other", 30*time.Second, func() bool {
			got := eval[received](t, p, receivedJS)
			return got.Frames > 30 && got.Audio > 30
		})
	}
	if dir := os.Getenv("WEEVER_SCREENSHOTS"); dir != "" {
		png, err := chromedp.Run(pages["alice"], chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/room.png", png, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A name that breaks the rules is answered on the page, in words, before anybody is asked for the camera.
func TestPageRefusesBadNames(t *testing.T) {
	n := start(t, newCluster(t, 1).siteConfig(0))
	p := page(t, browser(t), joinURL(n, "bad room", "<script>"))
	await(t, "a message", 5*time.Second, func() bool {
		return eval[string](t, p, `return document.querySelector('[role=alert], #message')?.textContent ?? ''`) != ""
	})
	if joined := eval[bool](t, p, `return Boolean(window.weever)`); joined {
		t.Error("joined all the same")
	}
}

// Fifty people talk in a room, and one Chromium hears them all over one connection.
func TestBrowserHearsFifty(t *testing.T) {
	c := newCluster(t, 3)
	nodes := []*testNode{start(t, c.siteConfig(0)), start(t, c.siteConfig(1))}
	for i := range 50 {
		publish(t, nodes[i%2], "choir", "voice"+strconv.Itoa(i), client.Microphone())
	}
	p := page(t, browser(t), nodes[0].PublicURL()+"/?room=choir&id=listener&audio=0&video=0&autojoin=1")
	heard := func() int {
		return eval[int](t, p, `
			if (window.weever?.subscriber.state !== 'connected') return 0;
			const stats = [...(await window.weever.subscriber.getStats()).values()];
			return stats.filter((s) => s.type === 'inbound-rtp' && s.kind === 'audio' && s.packetsReceived > 50).length;`)
	}
	await(t, "all fifty voices", 40*time.Second, func() bool { return heard() == 50 })
	if got := eval[int](t, p, `return window.weever.subscriber.peers.size`); got != 50 {
		t.Errorf("the page knows %d people", got)
	}
}

// VP8, H264 and AV1 in one room: the browser is offered all three whatever it saw first. It takes those that it can decode.
func TestBrowserTakesThreeCodecs(t *testing.T) {
	c := newCluster(t, 1)
	n := start(t, c.siteConfig(0))
	for id, codec := range map[string]synth.Codec{"alice": synth.VP8, "bob": synth.H264, "carol": synth.AV1} {
		publish(t, n, "codecs", id, client.Camera(codec, synth.Burst))
	}
	p := page(t, browser(t), n.PublicURL()+"/?room=codecs&id=viewer&audio=0&video=0&autojoin=1")
	var got []string
	await(t, "packets of three codecs", 30*time.Second, func() bool {
		got = eval[[]string](t, p, `
			if (window.weever?.subscriber.state !== 'connected') return [];
			const stats = await window.weever.subscriber.getStats();
			return [...stats.values()].filter((s) => s.type === 'inbound-rtp' && s.kind === 'video' && s.packetsReceived > 50)
				.map((s) => stats.get(s.codecId)?.mimeType ?? '');`)
		return len(got) == 3
	})
	slices.Sort(got)
	if want := []string{"video/AV1", "video/H264", "video/VP8"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
