// Package check goes through the WHIP or WHEP checklist (RFC 9725, the WHEP draft, and what real clients need) with any server, as
// a client that knows nothing but the endpoint's URL.
//
// Run opens real sessions, sends every kind of request that the checklist speaks of, and reports row by row what was seen. The rows
// are in the packages below, by what they are about; request and probe are their instruments; checklist is what they share.
// `mediad check` calls Run; nothing outlives it.
package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/lives"
	"weever/mediad/internal/check/offers"
	"weever/mediad/internal/check/patches"
	"weever/mediad/internal/check/probe"
	"weever/mediad/internal/check/surface"
)

const (
	// consent is how long a session may outlive its client's silence: the 30 s of RFC 7675 section 5.1, and the time to notice.
	consent = 40 * time.Second

	goLive     = 20 * time.Second // for a published stream to be there to play
	goLiveTick = 250 * time.Millisecond
)

// Config says what to check. Zero values stand for the defaults.
type Config struct {
	Endpoint string // URL of a WHIP endpoint
	WHEP     bool   // it is one of WHEP
	Token    string // bearer token; none when empty

	PublishURL   string // with WHEP: a WHIP endpoint to publish at first, so that there is something to play
	PublishToken string // Token when empty

	Strict   bool          // want 428 for a PATCH without If-Match, as the RFC does; many servers are lenient
	Flood    bool          // provoke the rate limit
	Origin   string        // "http://localhost"
	Insecure bool          // accept any certificate
	Consent  time.Duration // how long to wait for a session to end after its client fell silent: 40 s; negative: do not look
}

// The errors of Run that have nothing to do with a row.
var (
	// ErrNobodyLive says that a WHEP endpoint has nothing to play.
	ErrNobodyLive = errors.New("nobody is live at the endpoint (409): publish a stream there first, or let --publish do it")
	// ErrUnfinished says that ctx ended before the last row.
	ErrUnfinished = errors.New("the check was not finished")
)

// Run goes through the checklist. The sessions that it opens are deleted before it returns, also when ctx ends early; then the
// report has the rows judged so far and the error wraps ErrUnfinished. That rows fail is no error.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg.Origin = cmp.Or(cfg.Origin, "http://localhost")
	cfg.PublishToken = cmp.Or(cfg.PublishToken, cfg.Token)
	cfg.Consent = cmp.Or(cfg.Consent, consent)
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("check: the endpoint must be a URL that begins with http:// or https:// and a host")
	}
	transport := &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: cfg.Insecure}, //nolint:gosec // only when asked for
		ForceAttemptHTTP2: true,
	}
	defer transport.CloseIdleConnections()
	r := checklist.NewRun(checklist.Config{
		Endpoint: cfg.Endpoint, Player: cfg.WHEP, Token: cfg.Token, Strict: cfg.Strict, Flood: cfg.Flood, Origin: cfg.Origin, Consent: max(cfg.Consent, 0),
	}, transport)
	r.Hide(cfg.PublishToken)
	defer r.CloseAll(ctx)
	stop, err := stage(ctx, cfg, r, transport)
	defer stop()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %s", ErrUnfinished, context.Cause(ctx).Error())
	}
	if err != nil {
		return nil, err
	}
	report := &Report{Endpoint: shown(u), Role: role(cfg.WHEP)}
	rows := list(cfg.WHEP)
	for i, row := range rows {
		v := row.Judge(ctx, r)
		if ctx.Err() != nil {
			report.finish()
			return report, fmt.Errorf("%w: %d of %d rows are judged: %s", ErrUnfinished, i, len(rows), context.Cause(ctx).Error())
		}
		r.Keep(row.ID, v)
		report.add(row, v, r.Secrets())
	}
	report.finish()
	return report, nil
}

// stage looks whether the endpoint is there at all and, for a player, whether something is live, publishing it where that is wanted.
// stop ends what it published; it is never nil.
func stage(ctx context.Context, cfg Config, r *checklist.Run, transport http.RoundTripper) (stop func(), err error) {
	stop = func() {}
	offer := probe.Plain(r.Direction()).SDP()
	reply, err := r.Post(ctx, offer)
	if err != nil {
		return stop, fmt.Errorf("check: the endpoint does not answer: %w", err)
	}
	if s := r.Adopt(offer, reply); s != nil {
		r.Close(ctx, s)
	}
	if !cfg.WHEP {
		return stop, nil
	}
	if cfg.PublishURL == "" {
		if reply.Status == http.StatusConflict {
			return stop, ErrNobodyLive
		}
		return stop, nil
	}
	r.Before = reply
	p, err := probe.PublishTo(ctx, cfg.PublishURL, cfg.PublishToken, transport)
	if err != nil {
		return stop, fmt.Errorf("check: publishing at --publish: %s", checklist.Clean(err.Error(), r.Secrets()))
	}
	stop = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = p.Close(ctx) // the DELETE may fail: the connection is closed either way
	}
	return stop, awaitLive(ctx, r)
}

// awaitLive waits until what was published can be played.
func awaitLive(ctx context.Context, r *checklist.Run) error {
	ctx, cancel := context.WithTimeout(ctx, goLive)
	defer cancel()
	tick := time.NewTicker(goLiveTick)
	defer tick.Stop()
	for {
		offer := probe.Plain(r.Direction()).SDP()
		reply, err := r.Post(ctx, offer)
		if err != nil {
			return fmt.Errorf("check: %w", err)
		}
		if s := r.Adopt(offer, reply); s != nil {
			r.Close(ctx, s)
			return nil
		}
		if reply.Status != http.StatusConflict && reply.Status != http.StatusNotFound {
			return nil // refused for another reason, which the rows will tell
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("check: what was published at --publish cannot be played at the endpoint: %s", reply)
		}
	}
}

// list puts the rows in the order in which they are judged: those that need no media first, the sums last.
func list(player bool) []checklist.Row {
	rows := offers.Rows(player)
	if player {
		rows = append(rows, offers.Counter()...)
	}
	rows = append(rows, surface.Rows(player)...)
	rows = append(rows, patches.Rows()...)
	rows = append(rows, lives.Rows()...)
	if player {
		rows = append(rows, checklist.Row{ID: "E11", Level: checklist.Must, Statement: "PATCH as for publishers: W16 to W31", Judge: asPublishers})
	}
	return append(rows, surface.Last(player)...)
}

// asPublishers sums up the rows about PATCH.
func asPublishers(_ context.Context, r *checklist.Run) checklist.Verdict {
	var failed []string
	passed := 0
	for n := 16; n <= 31; n++ {
		id := fmt.Sprintf("W%d", n)
		switch v, _ := r.Verdict(id); v.Status {
		case checklist.Fail:
			failed = append(failed, id)
		case checklist.Pass:
			passed++
		}
	}
	switch {
	case len(failed) > 0:
		return checklist.Failed("see %s", strings.Join(failed, ", "))
	case passed == 0:
		return checklist.NotSeen("none of W16 to W31 could be observed")
	}
	return checklist.Passed("%d of W16 to W31 hold, none fails", passed)
}

func role(whep bool) string {
	if whep {
		return "whep"
	}
	return "whip"
}

// shown is the endpoint's URL without what may be a secret in it.
func shown(u *url.URL) string {
	bare := *u
	bare.User, bare.Fragment = nil, ""
	if bare.RawQuery != "" {
		bare.RawQuery = "…"
	}
	return bare.String()
}

// byID orders rows as a reader looks for them: W before E before H, and by number.
func byID(a, b Result) int {
	place := func(id string) (int, int) {
		n := 0
		_, _ = fmt.Sscanf(id[1:], "%d", &n)
		return strings.IndexByte("WEH", id[0]), n
	}
	ka, na := place(a.ID)
	kb, nb := place(b.ID)
	return cmp.Or(ka-kb, na-nb)
}
