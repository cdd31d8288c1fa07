package offers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/probe"
	"weever/mediad/internal/check/request"
)

// outcome is what came of an offer: a session, which is closed already, or a refusal.
type outcome struct {
	reply   request.Reply
	session *checklist.Session // nil: refused
}

// try posts an offer and closes what it opened. The error says that there was no reply.
func try(ctx context.Context, r *checklist.Run, offer probe.Offer) (outcome, error) {
	s, err := r.Open(ctx, offer.SDP())
	var refused *checklist.Refusal
	switch {
	case errors.As(err, &refused):
		return outcome{reply: refused.Reply}, nil
	case err != nil:
		return outcome{}, err
	}
	r.Close(ctx, s)
	return outcome{s.Reply, s}, nil
}

// taken reports whether the offer was answered, by whatever means.
func (o outcome) taken() bool { return o.reply.OK() }

// answer is that of a session; nil when there is none.
func (o outcome) answer() *probe.Answer {
	if o.session == nil {
		return nil
	}
	return o.session.Answer
}

func located(ctx context.Context, r *checklist.Run) checklist.Verdict {
	reply, err := r.Reply(ctx)
	if err != nil || !reply.OK() {
		_, err := r.First(ctx)
		return checklist.NotSeen("%v", err)
	}
	location := reply.Header.Get("Location")
	if location == "" {
		return checklist.Failed("%s without Location", reply)
	}
	u, err := reply.URL.Parse(location)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return checklist.Failed("%s, Location is no usable URL", reply)
	}
	endpoint, err := url.Parse(r.Endpoint)
	if err == nil && u.String() == endpoint.String() {
		return checklist.Failed("%s, Location is the endpoint itself", reply)
	}
	return checklist.Passed("%s, Location %s", reply, request.Redact(location))
}

// direction looks at the plain answer and at that to a sendrecv offer.
func direction(ctx context.Context, r *checklist.Run) checklist.Verdict {
	first, err := r.First(ctx)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	o, err := try(ctx, r, probe.Plain("sendrecv"))
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	directions := func(a *probe.Answer) string {
		var seen []string
		for _, m := range a.Media { // a data channel has no direction
			if m.Kind != "application" && !slices.Contains(seen, m.Direction) {
				seen = append(seen, m.Direction)
			}
		}
		return strings.Join(seen, ", ")
	}
	plain := directions(first.Answer)
	evidence := r.Direction() + " is answered " + plain
	switch a := o.answer(); {
	case !o.taken():
		return checklist.When(plain == r.Answers(), "%s; sendrecv is refused: %s", evidence, o.reply)
	case a == nil:
		return checklist.Failed("%s; sendrecv: %s without a session or an answer", evidence, o.reply)
	default:
		both := directions(a)
		return checklist.When(plain == r.Answers() && both == r.Answers(), "%s, sendrecv %s", evidence, both)
	}
}

func wrongDirection(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if _, err := r.First(ctx); err != nil {
		return checklist.NotSeen("%v", err)
	}
	ok := true
	var seen []string
	for _, dir := range []string{r.Answers(), "inactive"} { // the server's own direction is wrong for a client
		o, err := try(ctx, r, probe.Plain(dir))
		if err != nil {
			return checklist.NotSeen("%v", err)
		}
		ok = ok && o.reply.Refused()
		seen = append(seen, fmt.Sprintf("%s offer: %s", dir, o.reply))
	}
	return checklist.When(ok, "%s", strings.Join(seen, ", "))
}

func roles(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if _, err := r.First(ctx); err != nil {
		return checklist.NotSeen("%v", err)
	}
	verdict := checklist.Pass
	var seen []string
	for _, c := range []struct {
		offered string
		allowed []string
	}{{"actpass", []string{"active", "passive"}}, {"active", []string{"passive"}}, {"passive", []string{"active"}}} {
		o, err := try(ctx, r, probe.Plain(r.Direction()).With(c.offered))
		if err != nil {
			return checklist.NotSeen("%v", err)
		}
		a := o.answer()
		switch {
		case o.reply.Refused() && c.offered != "actpass":
			if verdict == checklist.Pass && c.offered == "passive" { // FFmpeg offers nothing else
				verdict = checklist.Warn
			}
			seen = append(seen, c.offered+": "+o.reply.String())
		case a == nil:
			verdict = checklist.Fail
			seen = append(seen, c.offered+": "+o.reply.String())
		default:
			got := strings.Join(a.Each(func(m probe.Media) string { return m.Setup }), ", ")
			if !slices.Contains(c.allowed, got) {
				verdict = checklist.Fail
			}
			seen = append(seen, c.offered+" is answered "+got)
		}
	}
	return checklist.Verdict{Status: verdict, Evidence: strings.Join(seen, "; ")}
}

// tooMany offers more and more tracks. What counts is that an offer is never taken in part.
func tooMany(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if _, err := r.First(ctx); err != nil {
		return checklist.NotSeen("%v", err)
	}
	refused := false
	var seen []string
	for _, n := range []int{2, 30} {
		o, err := try(ctx, r, probe.Many(r.Direction(), n, n))
		if err != nil {
			return checklist.NotSeen("%v", err)
		}
		what := fmt.Sprintf("%d audio and %d video: %s", n, n, o.reply)
		switch a := o.answer(); {
		case o.reply.Refused():
			refused = true
		case a == nil:
			return checklist.Failed("%s", what)
		case a.Rejects() || len(a.Media) != 2*n:
			return checklist.Failed("%s, but not all sections are accepted", what)
		case a.Any(func(m probe.Media) bool { return m.Direction == "inactive" }):
			return checklist.Failed("%s, but some sections are inactive", what)
		}
		seen = append(seen, what)
		if refused {
			return checklist.Passed("%s", strings.Join(seen, ", "))
		}
	}
	return checklist.NotSeen("as many as were offered are taken: %s", strings.Join(seen, ", "))
}

func unknownCodec(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if _, err := r.First(ctx); err != nil {
		return checklist.NotSeen("%v", err)
	}
	offer := probe.Plain(r.Direction())
	offer.Sections[1].Unknown = true
	o, err := try(ctx, r, offer)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	switch a := o.answer(); {
	case o.reply.Refused():
		return checklist.Passed("video with an unknown codec alone: %s", o.reply)
	case a != nil && a.Rejects():
		return checklist.Failed("video with an unknown codec alone: %s, and port 0 in the answer", o.reply)
	default:
		return checklist.Warned("video with an unknown codec alone: %s", o.reply)
	}
}

func simulcast(ctx context.Context, r *checklist.Run) checklist.Verdict {
	if _, err := r.First(ctx); err != nil {
		return checklist.NotSeen("%v", err)
	}
	offer := probe.Plain(r.Direction())
	rids := []string{"h", "m", "l"}
	offer.Sections[1].Rids = rids
	o, err := try(ctx, r, offer)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	a := o.answer()
	if a == nil || len(a.Media) != 2 {
		return checklist.NotSeen("an offer with simulcast: %s", o.reply)
	}
	video := a.Media[1]
	recv := video.SimulcastRecv()
	if video.Simulcast == "" && len(video.RidsRecv) == 0 {
		return checklist.NotSeen("simulcast is not accepted: the answer says nothing of it")
	}
	for _, rid := range recv {
		if !slices.Contains(rids, rid) || !slices.Contains(video.RidsRecv, rid) {
			return checklist.Failed("a=simulcast:recv names %s, which has no a=rid with recv, or was not offered", checklist.Clean(rid, nil))
		}
	}
	return checklist.When(len(recv) > 0 && len(recv) == len(video.RidsRecv), "offered send %s, answered %d a=rid with recv and a=simulcast:recv of %d",
		strings.Join(rids, ";"), len(video.RidsRecv), len(recv))
}
