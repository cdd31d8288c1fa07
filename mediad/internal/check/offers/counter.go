package offers

import (
	"context"
	"mime"
	"net/http"
	"time"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/probe"
	"weever/mediad/internal/check/request"
)

// Counter has the rows about counter-offers of a WHEP endpoint (406). They are seen once, when the first of the rows is judged.
func Counter() []checklist.Row {
	c := &counter{}
	const m = checklist.Must
	return []checklist.Row{
		{ID: "E4", Level: m, Statement: "a counter-offer: 406, application/sdp, an offer, Location", Judge: c.judge(c.form)},
		{ID: "E5", Level: checklist.May, Statement: "valid-until of a counter-offer is an HTTP-date", Judge: c.judge(c.until)},
		{ID: "E6", Level: m, Statement: "PATCH with an answer to a counter-offer: 204; a malformed one: 4xx", Judge: c.judge(c.answer)},
	}
}

// counter is the first counter-offer that could be provoked.
type counter struct {
	tried bool
	reply request.Reply // Status is 0 when there is none
	seen  string        // what came in its place
}

func (c *counter) judge(f func(context.Context, *checklist.Run) checklist.Verdict) judge {
	return func(ctx context.Context, r *checklist.Run) checklist.Verdict {
		if err := c.provoke(ctx, r); err != nil {
			return checklist.NotSeen("%v", err)
		}
		if c.reply.Status == 0 {
			return checklist.NotSeen("the server makes no counter-offers: %s", c.seen)
		}
		return f(ctx, r)
	}
}

// provoke sends what cannot be accepted.
func (c *counter) provoke(ctx context.Context, r *checklist.Run) error {
	if c.tried {
		return nil
	}
	unknown := probe.Plain(r.Direction())
	unknown.Sections[0].Unknown, unknown.Sections[1].Unknown = true, true
	for _, o := range []struct{ what, offer string }{{"an empty body", ""}, {"unknown codecs", unknown.SDP()}} {
		reply, err := r.Post(ctx, o.offer)
		if err != nil {
			return err
		}
		if reply.Status == http.StatusNotAcceptable {
			c.reply = reply
			break
		}
		if s := r.Adopt(o.offer, reply); s != nil {
			r.Close(ctx, s)
		}
		if c.seen != "" {
			c.seen += ", "
		}
		c.seen += o.what + ": " + reply.String()
	}
	c.tried = true
	return nil
}

func (c *counter) form(context.Context, *checklist.Run) checklist.Verdict {
	kind, _, _ := mime.ParseMediaType(c.reply.Header.Get("Content-Type"))
	_, err := probe.ReadAnswer(c.reply.Body)
	location := c.reply.Header.Get("Location")
	return checklist.When(kind == "application/sdp" && err == nil && location != "", "%s, Content-Type %q, an offer: %v, Location %s",
		c.reply, kind, err == nil, request.Redact(location))
}

func (c *counter) until(context.Context, *checklist.Run) checklist.Verdict {
	_, params, _ := mime.ParseMediaType(c.reply.Header.Get("Content-Type"))
	text, ok := params["valid-until"]
	if !ok {
		return checklist.NotSeen("%s without valid-until", c.reply)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return checklist.Failed("valid-until is no HTTP-date")
	}
	return checklist.When(at.After(time.Now()), "valid for another %v", time.Until(at).Round(time.Second))
}

// answer sends nonsense first, then the answer of a player.
func (c *counter) answer(ctx context.Context, r *checklist.Run) checklist.Verdict {
	u, err := c.reply.URL.Parse(c.reply.Header.Get("Location"))
	if err != nil || c.reply.Header.Get("Location") == "" {
		return checklist.NotSeen("%s without a usable Location", c.reply)
	}
	patch := func(body string) (request.Reply, error) {
		return r.Ask(ctx, request.Request{Method: http.MethodPatch, URL: u.String(), Type: "application/sdp", Body: body, Token: r.Token})
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		_, _ = r.Ask(ctx, request.Request{Method: http.MethodDelete, URL: u.String(), Token: r.Token})
	}()
	bad, err := patch("this is no answer")
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	var good request.Reply
	if err := probe.Accept(c.reply.Body, func(answer string) (err error) {
		good, err = patch(answer)
		return err
	}); err != nil {
		return checklist.Failed("the counter-offer cannot be answered: %v", err)
	}
	return checklist.When(bad.Refused() && good.Status == http.StatusNoContent, "nonsense: %s, an answer: %s", bad, good)
}

const closeLimit = 5 * time.Second
