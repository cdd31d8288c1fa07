// Package offers has the rows about POST: which offers are taken, which are refused, and what the answers are like.
//
// None of its sessions gets connected. Package check takes its rows.
package offers

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/probe"
)

// Rows lists what is asked of a WHIP endpoint, or of a WHEP endpoint.
func Rows(player bool) []checklist.Row {
	const m, s = checklist.Must, checklist.Should
	rows := []checklist.Row{
		{ID: "W20", Level: m, Statement: "an offer without candidates is accepted", Judge: noCandidates},
		{ID: "W21", Level: m, Statement: "the answer has the server's candidates", Judge: candidates},
		{ID: "W32", Level: m, Statement: "everything is bundled, with rtcp-mux and one transport", Judge: bundled},
		{ID: "W33", Level: m, Statement: "rtcp-mux-only in every bundled section of the answer", Judge: muxOnly},
		{ID: "W36", Level: s, Statement: "each DTLS role that is offered is answered by the other", Judge: roles},
		{ID: "W37", Level: s, Statement: "full ICE", Judge: fullICE},
	}
	if player {
		return append(rows, []checklist.Row{
			{ID: "E3", Level: m, Statement: "POST of an offer: 201, application/sdp, Location", Judge: both(created, located)},
			{ID: "E8", Level: m, Statement: "answers are sendonly; sendonly and inactive offers are refused", Judge: both(direction, wrongDirection)},
			checklist.NotHere("E9", s, "a player keeps all codecs", "this concerns players"),
			{ID: "E12", Level: m, Statement: "bundled, rtcp-mux and rtcp-mux-only", Judge: both(bundled, muxOnly)},
			{ID: "E13", Level: m, Statement: "one stream: the same msid everywhere, one track of a kind", Judge: oneStream},
			{ID: "E14", Level: s, Statement: "full ICE", Judge: fullICE},
			{ID: "E17", Level: m, Statement: "a plain player sees its own sections and nothing else", Judge: sameSections},
		}...)
	}
	return append(rows, []checklist.Row{
		{ID: "W4", Level: m, Statement: "POST of a good offer: 201, application/sdp, an answer", Judge: created},
		{ID: "W5", Level: m, Statement: "the 201 has the Location of the session", Judge: located},
		{ID: "W7", Level: m, Statement: "answers are recvonly, to sendrecv offers too", Judge: direction},
		{ID: "W8", Level: m, Statement: "recvonly and inactive offers are refused", Judge: wrongDirection},
		{ID: "W34", Level: m, Statement: "more tracks than supported: the whole POST is refused", Judge: tooMany},
		{ID: "W35", Level: s, Statement: "an unknown codec alone: the whole POST is refused, no port 0", Judge: unknownCodec},
		{ID: "W45", Level: m, Statement: "simulcast is mirrored in the answer, where it is accepted", Judge: simulcast},
	}...)
}

type judge = func(context.Context, *checklist.Run) checklist.Verdict

// both is the worse of two verdicts, with the evidence of both.
func both(one, other judge) judge {
	return func(ctx context.Context, r *checklist.Run) checklist.Verdict {
		a, b := one(ctx, r), other(ctx, r)
		worst := a.Status
		for _, s := range []checklist.Status{checklist.Pass, checklist.Warn, checklist.None, checklist.Fail} {
			if a.Status == s || b.Status == s {
				worst = s
			}
		}
		if a.Evidence == b.Evidence {
			return a
		}
		return checklist.Verdict{Status: worst, Evidence: a.Evidence + "; " + b.Evidence}
	}
}

// answered judges the answer to a plain offer.
func answered(f func(*checklist.Session) checklist.Verdict) judge {
	return func(ctx context.Context, r *checklist.Run) checklist.Verdict {
		first, err := r.First(ctx)
		if err != nil {
			return checklist.NotSeen("%v", err)
		}
		return f(first)
	}
}

func created(ctx context.Context, r *checklist.Run) checklist.Verdict {
	reply, err := r.Reply(ctx)
	if err != nil {
		return checklist.Failed("%v", err)
	}
	if reply.Status != http.StatusCreated {
		_, err := r.First(ctx)
		if err == nil {
			return checklist.Failed("%s in place of 201", reply)
		}
		return checklist.Failed("%v", err)
	}
	kind, _, _ := strings.Cut(reply.Header.Get("Content-Type"), ";")
	if kind != "application/sdp" {
		return checklist.Failed("%s, Content-Type %q", reply, kind)
	}
	answer, err := probe.ReadAnswer(reply.Body)
	if err != nil {
		return checklist.Failed("%s, but the body is %v", reply, err)
	}
	for _, m := range answer.Media {
		if !m.Rejected && (m.Ufrag == "" || m.Pwd == "" || m.Fingerprint == "" || m.Setup == "") {
			return checklist.Failed("%s, but section %s lacks ice-ufrag, ice-pwd, fingerprint or setup", reply, m.Mid)
		}
	}
	if got, want := answer.Sections(), []string{"audio 0", "video 1"}; !slices.Equal(got, want) {
		return checklist.Failed("%s, but the sections are %q, not those of the offer %q", reply, got, want)
	}
	return checklist.Passed("%s, application/sdp, %d sections", reply, len(answer.Media))
}

func noCandidates(ctx context.Context, r *checklist.Run) checklist.Verdict {
	first, err := r.First(ctx)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	return checklist.Passed("an offer without candidates: %s", first.Reply)
}

func candidates(ctx context.Context, r *checklist.Run) checklist.Verdict {
	return answered(func(s *checklist.Session) checklist.Verdict {
		n, hosts := 0, len(s.Answer.Hosts())
		for _, m := range s.Answer.Media {
			n += len(m.Candidates)
		}
		return checklist.When(n > 0, "%d candidates in the answer, %d addresses over UDP", n, hosts)
	})(ctx, r)
}

func bundled(ctx context.Context, r *checklist.Run) checklist.Verdict {
	return answered(func(s *checklist.Session) checklist.Verdict {
		a := s.Answer
		for _, m := range a.Media {
			switch {
			case !slices.Contains(a.Bundle, m.Mid):
				return checklist.Failed("section %s is not in a=group:BUNDLE", m.Mid)
			case !m.Mux:
				return checklist.Failed("section %s lacks a=rtcp-mux", m.Mid)
			}
		}
		for what, f := range map[string]func(probe.Media) string{
			"ice-ufrag":   func(m probe.Media) string { return m.Ufrag },
			"ice-pwd":     func(m probe.Media) string { return m.Pwd },
			"fingerprint": func(m probe.Media) string { return m.Fingerprint },
			"setup":       func(m probe.Media) string { return m.Setup },
		} {
			if n := len(a.Each(f)); n != 1 {
				return checklist.Failed("%d different values of a=%s: more than one transport", n, what)
			}
		}
		return checklist.Passed("%d sections bundled, rtcp-mux in each, one set of ICE credentials", len(a.Media))
	})(ctx, r)
}

func muxOnly(ctx context.Context, r *checklist.Run) checklist.Verdict {
	return answered(func(s *checklist.Session) checklist.Verdict {
		var without []string
		for _, m := range s.Answer.Media {
			if slices.Contains(s.Answer.Bundle, m.Mid) && !m.MuxOnly {
				without = append(without, m.Mid)
			}
		}
		if len(s.Answer.Bundle) == 0 {
			return checklist.NotSeen("nothing is bundled")
		}
		if len(without) > 0 {
			return checklist.Failed("no a=rtcp-mux-only in the sections %s", strings.Join(without, ", "))
		}
		return checklist.Passed("a=rtcp-mux-only in each of %d bundled sections", len(s.Answer.Bundle))
	})(ctx, r)
}

func fullICE(ctx context.Context, r *checklist.Run) checklist.Verdict {
	return answered(func(s *checklist.Session) checklist.Verdict {
		if s.Answer.Lite {
			return checklist.Warned("a=ice-lite: good only where every client can reach the server")
		}
		return checklist.Passed("no a=ice-lite in the answer")
	})(ctx, r)
}

func oneStream(ctx context.Context, r *checklist.Run) checklist.Verdict {
	return answered(func(s *checklist.Session) checklist.Verdict {
		kinds, streams := map[string]int{}, []string{}
		for _, m := range s.Answer.Media {
			if m.Kind == "application" || m.Rejected {
				continue
			}
			kinds[m.Kind]++
			if !slices.Contains(streams, m.Msid) && m.Msid != "" {
				streams = append(streams, m.Msid)
			}
		}
		tracks := fmt.Sprintf("%d audio and %d video sections, %d names of streams", kinds["audio"], kinds["video"], len(streams))
		if len(streams) == 0 {
			return checklist.Failed("%s: no section has a=msid", tracks)
		}
		return checklist.When(len(streams) == 1 && kinds["audio"] <= 1 && kinds["video"] <= 1, "%s", tracks)
	})(ctx, r)
}

func sameSections(ctx context.Context, r *checklist.Run) checklist.Verdict {
	return answered(func(s *checklist.Session) checklist.Verdict {
		got, want := s.Answer.Sections(), []string{"audio 0", "video 1"}
		return checklist.When(slices.Equal(got, want), "offered %s, answered %s", strings.Join(want, ", "), strings.Join(got, ", "))
	})(ctx, r)
}
