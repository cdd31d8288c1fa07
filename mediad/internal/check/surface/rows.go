// Package surface has the rows about everything that is not in a session description: methods, CORS, tokens, links, redirects, the
// URLs of sessions, limits.
//
// Package check takes its rows. Those of Last sum up the whole run and come at its end.
package surface

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/probe"
	"weever/mediad/internal/check/request"
)

// Rows lists what is asked of either kind of endpoint.
func Rows(player bool) []checklist.Row {
	const m, s, o = checklist.Must, checklist.Should, checklist.May
	v := &visit{}
	c := &cors{visit: v}
	rows := []checklist.Row{
		{ID: "W12", Level: m, Statement: "CORS preflights are answered, without a token", Judge: c.preflights},
		{ID: "W13", Level: s, Statement: "OPTIONS has Accept-Post: application/sdp", Judge: acceptPost},
		{ID: "W40", Level: o, Statement: "Links to ICE servers are well-formed", Judge: iceServers},
		{ID: "W41", Level: s, Statement: "ICE servers are not told on a preflight", Judge: c.links},
		{ID: "W43", Level: m, Statement: "a bad token: 401 with WWW-Authenticate: Bearer", Judge: badToken},
		checklist.NotHere("W44", o, "the token may be in the URL", "a matter of the installation"),
		{ID: "W47", Level: m, Statement: "HTTPS", Judge: secure},
		{ID: "H1", Level: s, Statement: "preflights allow every header that clients send", Judge: c.headers},
		{ID: "H2", Level: s, Statement: "pages may read Location, ETag and Link", Judge: c.exposed},
		{ID: "H3", Level: s, Statement: "Location: an absolute path, no query, no \"http\" in it", Judge: location},
		{ID: "H4", Level: s, Statement: "PATCH needs no token beside the session URL", Judge: v.patchWithoutToken},
		{ID: "H5", Level: s, Statement: "DELETE needs no token beside the session URL", Judge: v.deleteWithoutToken},
		{ID: "H6", Level: s, Statement: "the answer's type is application/sdp and nothing else", Judge: bareType},
		{ID: "H7", Level: s, Statement: "the first candidate is host over UDP, for FFmpeg", Judge: firstCandidate},
	}
	get := checklist.Row{ID: "W1", Level: m, Statement: "GET on endpoint and session: 2xx, empty", Judge: v.get}
	refuse := checklist.Row{ID: "W6", Level: m, Statement: "POST of another type or of no SDP: 4xx", Judge: refusals}
	if player {
		get.ID, refuse.ID = "E1", "E7"
		return append(rows, get, refuse,
			checklist.Row{ID: "E2", Level: s, Statement: "HEAD on the endpoint: 200, application/sdp, no body", Judge: headOfPlayer},
			checklist.Row{ID: "E10", Level: m, Statement: "nobody live: 409 with Retry-After", Judge: nobodyLive})
	}
	return append(rows, get, refuse, checklist.Row{ID: "W3", Level: o, Statement: "HEAD is GET without a body; PUT: 405 with Allow", Judge: headAndPut})
}

// ask is a request to the endpoint with the run's token.
func ask(ctx context.Context, r *checklist.Run, q request.Request) (request.Reply, error) {
	q.Token = r.Token
	return r.Ask(ctx, q)
}

func headAndPut(ctx context.Context, r *checklist.Run) checklist.Verdict {
	var got [3]request.Reply
	for i, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
		var err error
		if got[i], err = ask(ctx, r, request.Request{Method: method}); err != nil {
			return checklist.NotSeen("%v", err)
		}
	}
	get, head, put := got[0], got[1], got[2]
	evidence := fmt.Sprintf("%s, %s, %s with Allow %q", get, head, put, put.Header.Get("Allow"))
	if get.Status != head.Status || put.Status != http.StatusMethodNotAllowed || put.Header.Get("Allow") == "" {
		return checklist.Warned("%s", evidence)
	}
	return checklist.Passed("%s", evidence)
}

func headOfPlayer(ctx context.Context, r *checklist.Run) checklist.Verdict {
	head, err := ask(ctx, r, request.Request{Method: http.MethodHead})
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	kind := head.Header.Get("Content-Type")
	return checklist.When(head.Status == http.StatusOK && kind == "application/sdp", "%s, Content-Type %q", head, kind)
}

func nobodyLive(_ context.Context, r *checklist.Run) checklist.Verdict {
	switch reply := r.Before; {
	case reply.Status == 0:
		return checklist.NotSeen("somebody was live from the beginning; --publish looks before it publishes")
	case reply.OK():
		return checklist.NotSeen("%s with nobody published by this check: not required, or somebody else is live", reply)
	default:
		after := reply.Header.Get("Retry-After")
		return checklist.When(reply.Status == http.StatusConflict && after != "", "%s, Retry-After %q", reply, after)
	}
}

// refusals sends wrong bodies, and a good one whose type has a parameter.
func refusals(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if _, err := r.First(ctx); err != nil {
		return checklist.NotSeen("%v", err)
	}
	ok := true
	var seen []string
	for _, c := range []struct {
		what, kind, body string
		good             bool
	}{
		{"an offer as text/plain", "text/plain", probe.Plain(r.Direction()).SDP(), false},
		{"JSON", "application/json", `{"type":"offer","sdp":""}`, false},
		{"no SDP", "application/sdp", "this is no session description", false},
		{"half an offer", "application/sdp", probe.Plain(r.Direction()).SDP()[:40], false},
		{"application/sdp; charset=utf-8", "application/sdp; charset=utf-8", probe.Plain(r.Direction()).SDP(), true},
	} {
		reply, err := ask(ctx, r, request.Request{Method: http.MethodPost, Type: c.kind, Body: c.body})
		if err != nil {
			return checklist.NotSeen("%v", err)
		}
		if s := r.Adopt(c.body, reply); s != nil {
			r.Close(ctx, s)
		}
		ok = ok && (c.good && reply.OK() || !c.good && reply.Refused())
		seen = append(seen, fmt.Sprintf("%s: %d", c.what, reply.Status))
	}
	return checklist.When(ok, "POST of %s", strings.Join(seen, ", "))
}

// badToken sends a good offer with none and with a wrong token.
func badToken(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if _, err := r.First(ctx); err != nil {
		return checklist.NotSeen("%v", err)
	}
	if r.Token == "" {
		return checklist.NotSeen("no auth: POST without a token is accepted")
	}
	ok := true
	var seen []string
	for _, c := range []struct{ what, token string }{{"no token", ""}, {"a wrong token", "wrong-" + r.Token}} {
		offer := probe.Plain(r.Direction()).SDP()
		reply, err := r.Ask(ctx, request.Request{Method: http.MethodPost, Type: "application/sdp", Body: offer, Token: c.token})
		if err != nil {
			return checklist.NotSeen("%v", err)
		}
		if s := r.Adopt(offer, reply); s != nil {
			r.Close(ctx, s)
			if c.token == "" {
				return checklist.NotSeen("no auth: POST without a token is accepted")
			}
		}
		scheme, _, _ := strings.Cut(reply.Header.Get("WWW-Authenticate"), " ")
		ok = ok && reply.Status == http.StatusUnauthorized && strings.EqualFold(scheme, "Bearer")
		seen = append(seen, fmt.Sprintf("%s: %d, WWW-Authenticate %q", c.what, reply.Status, scheme))
	}
	return checklist.When(ok, "POST with %s", strings.Join(seen, "; "))
}

func secure(_ context.Context, r *checklist.Run) checklist.Verdict {
	if !strings.HasPrefix(r.Endpoint, "https:") {
		return checklist.NotSeen("checked over plain HTTP; what clients use must be HTTPS")
	}
	return checklist.Passed("checked over HTTPS")
}

// onFirst judges the reply to a plain offer.
func onFirst(f func(*checklist.Session) checklist.Verdict) func(context.Context, *checklist.Run) checklist.Verdict {
	return func(ctx context.Context, r *checklist.Run) checklist.Verdict {
		first, err := r.First(ctx)
		if err != nil {
			return checklist.NotSeen("%v", err)
		}
		return f(first)
	}
}

func location(ctx context.Context, r *checklist.Run) checklist.Verdict {
	return onFirst(func(s *checklist.Session) checklist.Verdict {
		at := s.Reply.Header.Get("Location")
		ok := strings.HasPrefix(at, "/") && !strings.HasPrefix(at, "//") && !strings.ContainsAny(at, "?#") && !strings.Contains(at, "http")
		return checklist.When(ok, "Location %s", request.Redact(at))
	})(ctx, r)
}

func bareType(ctx context.Context, r *checklist.Run) checklist.Verdict {
	return onFirst(func(s *checklist.Session) checklist.Verdict {
		kind := s.Reply.Header.Get("Content-Type")
		return checklist.When(kind == "application/sdp", "Content-Type %q", kind)
	})(ctx, r)
}

func firstCandidate(ctx context.Context, r *checklist.Run) checklist.Verdict {
	return onFirst(func(s *checklist.Session) checklist.Verdict {
		return checklist.When(s.Answer.FirstIsUDPHost(), "first of the answer's candidates is host over UDP: %v", s.Answer.FirstIsUDPHost())
	})(ctx, r)
}
