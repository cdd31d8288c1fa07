// Package chromium starts the browser through which tests look at pages.
package chromium

import (
	"context"
	"net/url"
	"time"

	"github.com/chromedp/chromedp"
)

// Path is where the browser is.
const Path = "/usr/bin/chromium"

// evalLimit is how long a function in a page may take.
const evalLimit = 20 * time.Second

// closeLimit is how long the browser may take to end in order.
const closeLimit = 5 * time.Second

// Flags starts Chromium with a fake camera and microphone, and talkative to nobody but the page's server. profile is a directory.
func Flags(profile string) []chromedp.ExecAllocatorOption {
	return append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(Path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("use-fake-device-for-media-stream", true), chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("no-first-run", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
		chromedp.WindowSize(1000, 700), chromedp.UserDataDir(profile))
}

// Page says what to open.
type Page struct {
	URL     string // its origin is treated as if it were secure
	Profile string // directory
}

// Tab is the one tab of a browser of its own.
type Tab struct {
	ctx context.Context //nolint:containedctx // chromedp's way to name a tab
}

// Open starts a browser that lives until Close, and at most as long as ctx, and opens a page. The Tab is to be closed also after an error.
func Open(ctx context.Context, p Page) (*Tab, error) {
	u, err := url.Parse(p.URL)
	if err != nil {
		return nil, err
	}
	opts := append(Flags(p.Profile), chromedp.Flag("unsafely-treat-insecure-origin-as-secure", u.Scheme+"://"+u.Host))
	alloc, _ := chromedp.NewExecAllocator(ctx, opts...)
	t := &Tab{}
	t.ctx, _ = chromedp.NewContext(alloc)
	return t, chromedp.Do(t.ctx, chromedp.Navigate(p.URL))
}

// Eval runs the body of an async function in the page and gives its result as JSON.
func (t *Tab) Eval(body string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(t.ctx, evalLimit)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => JSON.stringify(await (async () => {"+body+"})() ?? null))()", chromedp.EvalAwaitPromise))
	return []byte(text), err
}

// Close ends the browser in order: one that is killed leaves files. Closing no Tab does nothing.
func (t *Tab) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, closeLimit)
	defer cancel()
	_ = chromedp.Cancel(ctx)
}
