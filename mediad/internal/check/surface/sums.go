package surface

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/request"
)

// Last lists the rows about the run as a whole; they come behind all others, and that of the rate limit behind them.
func Last(player bool) []checklist.Row {
	const m, s, o = checklist.Must, checklist.Should, checklist.May
	rows := []checklist.Row{
		{ID: "W38", Level: m, Statement: "redirects are 307 or 308, never 301 or 302", Judge: redirects},
		{ID: "W39", Level: o, Statement: "overload: 503 with Retry-After", Judge: overload},
		{ID: "W46", Level: m, Statement: "Links to extensions are well-formed", Judge: extensions},
		{ID: "W49", Level: s, Statement: "session URLs cannot be guessed: 122 bits or more", Judge: unguessable},
	}
	if player {
		rows = append(rows,
			checklist.Row{ID: "E15", Level: m, Statement: "redirects are 307 or 308, never 301 or 302", Judge: redirects},
			checklist.Row{ID: "E16", Level: m, Statement: "Links to extensions are well-formed", Judge: extensions})
	} else {
		rows = append(rows, checklist.Row{ID: "W2", Level: o, Statement: "errors may be application/problem+json", Judge: problems})
	}
	return append(rows, checklist.Row{ID: "W48", Level: s, Statement: "a flood is answered 429 or 503 with Retry-After", Judge: flood})
}

func problems(_ context.Context, r *checklist.Run) checklist.Verdict {
	l := r.HTTP.Ledger()
	if l.Problems == 0 {
		return checklist.NotSeen("none of %d error bodies is problem+json", l.Errors)
	}
	return checklist.Passed("%d of %d error bodies are problem+json", l.Problems, l.Errors)
}

func redirects(_ context.Context, r *checklist.Run) checklist.Verdict {
	l := r.HTTP.Ledger()
	bad := l.Redirects[http.StatusMovedPermanently] + l.Redirects[http.StatusFound]
	var seen []string
	for _, status := range slices.Sorted(maps.Keys(l.Redirects)) {
		seen = append(seen, fmt.Sprintf("%d × %d", l.Redirects[status], status))
	}
	if len(seen) == 0 {
		seen = []string{"no redirect"}
	}
	return checklist.When(bad == 0, "%s among %d replies", strings.Join(seen, ", "), l.Requests)
}

func overload(_ context.Context, r *checklist.Run) checklist.Verdict {
	l := r.HTTP.Ledger()
	if l.Overloads == 0 {
		return checklist.NotSeen("no overload was seen")
	}
	if l.Silent > 0 {
		return checklist.Warned("%d of %d replies 503 or 429 have no Retry-After", l.Silent, l.Overloads)
	}
	return checklist.Passed("%d replies 503 or 429, all with Retry-After", l.Overloads)
}

func acceptPost(ctx context.Context, r *checklist.Run) checklist.Verdict {
	plain, err := ask(ctx, r, request.Request{Method: http.MethodOptions})
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	pre, err := preflight(ctx, r, r.Endpoint, http.MethodPost, plainHeaders)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	if !plain.OK() && !pre.OK() {
		return checklist.NotSeen("%s, and as a preflight %s", plain, pre)
	}
	ok := true
	var seen []string
	for what, reply := range map[string]request.Reply{"plain": plain, "preflight": pre} {
		has := request.Lists(reply.Header, "Accept-Post", "application/sdp")
		ok = ok && (has || !reply.OK())
		seen = append(seen, fmt.Sprintf("%s: %d, Accept-Post %v", what, reply.Status, has))
	}
	slices.Sort(seen)
	return checklist.When(ok, "OPTIONS, %s", strings.Join(seen, "; "))
}

// iceScheme is how the URI of an ICE server begins (RFC 7064, RFC 7065).
var iceScheme = regexp.MustCompile(`^(stuns?|turns?):[^/]`)

func iceServers(ctx context.Context, r *checklist.Run) checklist.Verdict {
	first, err := r.First(ctx)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	links, err := request.Links(first.Reply.Header)
	if err != nil {
		return checklist.Failed("%s: %v", first.Reply, err)
	}
	n := 0
	for _, l := range links {
		if !slices.Contains(l.Rels(), "ice-server") {
			continue
		}
		n++
		_, user := l.Params["username"]
		_, password := l.Params["credential"]
		switch {
		case !iceScheme.MatchString(l.Target) || strings.Contains(l.Target, "%3"):
			return checklist.Failed("the target of an ice-server Link is not of the form turn:host:3478?transport=udp")
		case user != password || password && l.Params["credential-type"] != "password":
			return checklist.Failed("an ice-server Link must have username, credential and credential-type=\"password\", or none of them")
		}
	}
	if n == 0 {
		return checklist.NotSeen("no ice-server among %d Links", len(links))
	}
	return checklist.Passed("%d ice-server Links", n)
}

var extension = regexp.MustCompile(`^urn:ietf:params:wh[ie]p:ext:[A-Za-z0-9][A-Za-z0-9:._~-]*$`)

func extensions(ctx context.Context, r *checklist.Run) checklist.Verdict {
	first, err := r.First(ctx)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	links, _ := request.Links(first.Reply.Header) // what is malformed is another row's
	n := 0
	for _, l := range links {
		for _, rel := range l.Rels() {
			if !strings.HasPrefix(strings.ToLower(rel), "urn:ietf:params:wh") {
				continue
			}
			n++
			if !extension.MatchString(rel) {
				return checklist.Failed("a Link with rel %q", rel)
			}
		}
	}
	if n == 0 {
		return checklist.NotSeen("no extension is advertised")
	}
	return checklist.Passed("%d Links to extensions", n)
}

// fewest session URLs from which anything can be told: with less, random characters are equal too often.
const fewest = 5

func unguessable(_ context.Context, r *checklist.Run) checklist.Verdict {
	paths := r.Paths()
	if len(paths) < fewest {
		return checklist.NotSeen("%d session URLs are too few to tell", len(paths))
	}
	const enough = 122 // bits of a random UUID
	g := request.Entropy(paths)
	return checklist.When(g.Bits >= enough, "%d session URLs: %d characters of about %d kinds differ, %.0f bits at most", len(paths), g.Changing, g.Kinds, g.Bits)
}

const (
	floodSize  = 5000
	floodTime  = 10 * time.Second
	floodWidth = 16 // requests at a time
)

// flood deletes sessions that do not exist until the server has had enough.
func flood(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if !r.Flood {
		return checklist.NotSeen("only looked at with --flood")
	}
	first, err := r.First(ctx)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	unknown := first.URL[:strings.LastIndex(first.URL, "/")+1] + strings.ToLower(rand.Text())
	ctx, cancel := context.WithTimeout(ctx, floodTime)
	defer cancel()
	var sent atomic.Int64
	refused := make(chan request.Reply, floodWidth)
	var all sync.WaitGroup
	for range floodWidth {
		all.Go(func() {
			for ctx.Err() == nil && sent.Add(1) <= floodSize {
				reply, err := r.HTTP.Do(ctx, request.Request{Method: http.MethodDelete, URL: unknown, Token: r.Token, Rush: true})
				if err == nil && (reply.Status == http.StatusTooManyRequests || reply.Status == http.StatusServiceUnavailable) {
					refused <- reply
					cancel()
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case reply := <-refused:
		after := reply.Header.Get("Retry-After")
		return checklist.When(after != "", "%s after about %d requests, Retry-After %q", reply, sent.Load(), after)
	default:
		return checklist.Failed("%d DELETEs of unknown sessions, none of them was too many", min(sent.Load(), floodSize))
	}
}
