package surface

import (
	"context"
	"net/http"
	"strings"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/probe"
	"weever/mediad/internal/check/request"
)

// visit is one session that is looked at from outside, once, and then deleted without a token.
type visit struct {
	made              bool
	err               error                    // there was no session
	endpoint, session request.Reply            // to GET
	preflight         map[string]request.Reply // by method: PATCH and DELETE
	patch, delete     request.Reply            // without a token
	after             request.Reply            // to a PATCH with one, after the DELETE
}

// make looks, when nobody has done so before.
func (v *visit) make(ctx context.Context, r *checklist.Run) error {
	if v.made {
		return v.err
	}
	v.made = true
	v.err = v.look(ctx, r)
	return v.err
}

func (v *visit) look(ctx context.Context, r *checklist.Run) error {
	s, err := r.Open(ctx, probe.Plain(r.Direction()).SDP())
	if err != nil {
		return err
	}
	defer r.Close(ctx, s)
	v.preflight = map[string]request.Reply{}
	if v.endpoint, err = ask(ctx, r, request.Request{Method: http.MethodGet}); err != nil {
		return err
	}
	if v.session, err = s.Get(ctx); err != nil {
		return err
	}
	for _, method := range []string{http.MethodPatch, http.MethodDelete} {
		if v.preflight[method], err = preflight(ctx, r, s.URL, method, plainHeaders); err != nil {
			return err
		}
	}
	fragment := s.Ours
	if v.patch, err = r.HTTP.Do(ctx, request.Request{
		Method: http.MethodPatch, URL: s.URL, Type: "application/trickle-ice-sdpfrag", Body: fragment.String(), IfMatch: s.Tag(),
	}); err != nil {
		return err
	}
	if v.delete, err = r.HTTP.Do(ctx, request.Request{Method: http.MethodDelete, URL: s.URL}); err != nil {
		return err
	}
	v.after, _, err = s.AfterDelete(ctx)
	return err
}

// get judges GET on endpoint and session.
func (v *visit) get(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if err := v.make(ctx, r); err != nil {
		return checklist.NotSeen("%v", err)
	}
	ok := true
	for _, reply := range []request.Reply{v.endpoint, v.session} {
		ok = ok && reply.OK() && reply.Body == ""
	}
	return checklist.When(ok, "endpoint: %s, %d bytes; session: %s, %d bytes", v.endpoint, len(v.endpoint.Body), v.session, len(v.session.Body))
}

func (v *visit) patchWithoutToken(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if err := v.make(ctx, r); err != nil {
		return checklist.NotSeen("%v", err)
	}
	switch {
	case r.Token == "":
		return checklist.NotSeen("no token is in use")
	case v.patch.Status == http.StatusMethodNotAllowed || v.patch.Status == http.StatusUnprocessableEntity || v.patch.Status == http.StatusNotImplemented:
		return checklist.NotSeen("%s: no trickle ICE", v.patch)
	}
	return checklist.When(v.patch.OK(), "%s without Authorization", v.patch)
}

func (v *visit) deleteWithoutToken(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if err := v.make(ctx, r); err != nil {
		return checklist.NotSeen("%v", err)
	}
	if r.Token == "" {
		return checklist.NotSeen("no token is in use")
	}
	return checklist.When(v.delete.OK() && v.after.Missing(), "%s without Authorization, then %s", v.delete, v.after)
}

// plainHeaders are what every request of a page may have, hardHeaders what all known clients send.
var (
	plainHeaders = []string{"authorization", "content-type"}
	hardHeaders  = []string{"authorization", "content-type", "etag", "if-match"}
)

// preflight asks what a browser asks before it sends a request of the method from a page; browsers send no token with it.
func preflight(ctx context.Context, r *checklist.Run, url, method string, headers []string) (request.Reply, error) {
	return r.HTTP.Do(ctx, request.Request{Method: http.MethodOptions, URL: url, Header: map[string]string{
		"Origin": r.Origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": strings.Join(headers, ","),
	}})
}

// cors is what pages may do.
type cors struct {
	visit *visit
	post  request.Reply // preflight of the POST; Status is 0 before it was sent
}

// ask sends the preflight of the POST, once.
func (c *cors) ask(ctx context.Context, r *checklist.Run) (err error) {
	if c.post.Status == 0 {
		c.post, err = preflight(ctx, r, r.Endpoint, http.MethodPost, plainHeaders)
	}
	return err
}

// allows says what a preflight lacks; empty when nothing.
func allows(r *checklist.Run, reply request.Reply, method string, headers []string) string {
	origin := reply.Header.Get("Access-Control-Allow-Origin")
	switch {
	case !reply.OK():
		return reply.String()
	case origin == "":
		return "no Access-Control-Allow-Origin for " + r.Origin + " (see --origin)"
	case origin != "*" && !strings.EqualFold(origin, r.Origin):
		return "Access-Control-Allow-Origin is another than " + r.Origin
	case !request.Lists(reply.Header, "Access-Control-Allow-Methods", method):
		return "Access-Control-Allow-Methods has no " + method
	}
	for _, h := range headers {
		if !request.Lists(reply.Header, "Access-Control-Allow-Headers", h) {
			return "Access-Control-Allow-Headers has no " + h
		}
	}
	return ""
}

func (c *cors) preflights(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if err := c.ask(ctx, r); err != nil {
		return checklist.NotSeen("%v", err)
	}
	if lack := allows(r, c.post, http.MethodPost, plainHeaders); lack != "" {
		return checklist.Failed("preflight of POST: %s", lack)
	}
	if err := c.visit.make(ctx, r); err != nil {
		return checklist.Warned("preflight of POST is allowed; there is no session to ask about PATCH and DELETE: %v", err)
	}
	for _, method := range []string{http.MethodPatch, http.MethodDelete} {
		if lack := allows(r, c.visit.preflight[method], method, plainHeaders); lack != "" {
			return checklist.Failed("preflight of %s: %s", method, lack)
		}
	}
	return checklist.Passed("preflights from %s without a token: POST %d, PATCH %d, DELETE %d", r.Origin, c.post.Status,
		c.visit.preflight[http.MethodPatch].Status, c.visit.preflight[http.MethodDelete].Status)
}

func (c *cors) headers(ctx context.Context, r *checklist.Run) checklist.Verdict {
	reply, err := preflight(ctx, r, r.Endpoint, http.MethodPost, hardHeaders)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	if lack := allows(r, reply, http.MethodPost, hardHeaders); lack != "" {
		return checklist.Failed("preflight of POST with %s: %s", strings.Join(hardHeaders, ", "), lack)
	}
	return checklist.Passed("a preflight with %s is allowed", strings.Join(hardHeaders, ", "))
}

// exposed posts as a page does.
func (c *cors) exposed(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if _, err := r.First(ctx); err != nil {
		return checklist.NotSeen("%v", err)
	}
	offer := probe.Plain(r.Direction()).SDP()
	reply, err := ask(ctx, r, request.Request{
		Method: http.MethodPost, Type: "application/sdp", Body: offer, Header: map[string]string{"Origin": r.Origin},
	})
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	if s := r.Adopt(offer, reply); s != nil {
		r.Close(ctx, s)
	}
	if origin := reply.Header.Get("Access-Control-Allow-Origin"); origin != "*" && !strings.EqualFold(origin, r.Origin) {
		return checklist.Failed("%s from %s without a fitting Access-Control-Allow-Origin", reply, r.Origin)
	}
	var hidden []string
	for _, name := range []string{"Location", "ETag", "Link"} {
		if !request.Lists(reply.Header, "Access-Control-Expose-Headers", name) {
			hidden = append(hidden, name)
		}
	}
	if len(hidden) > 0 {
		return checklist.Failed("%s: Access-Control-Expose-Headers has no %s", reply, strings.Join(hidden, ", "))
	}
	return checklist.Passed("%s exposes Location, ETag and Link", reply)
}

func (c *cors) links(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if err := c.ask(ctx, r); err != nil {
		return checklist.NotSeen("%v", err)
	}
	n := len(c.post.Header.Values("Link"))
	if n > 0 {
		return checklist.Failed("the preflight of POST has %d Link headers", n)
	}
	first, err := r.First(ctx)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	if len(first.Reply.Header.Values("Link")) == 0 {
		return checklist.NotSeen("the server tells no Links")
	}
	return checklist.Passed("no Link on the preflight of POST")
}
