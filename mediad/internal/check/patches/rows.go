// Package patches has the rows about PATCH: trickle ICE, ICE restarts and the entity-tags that keep them in order.
//
// Everything is done on one session, on which no media flows: a socket of the check stands for the client, so that it can be seen
// which candidates the server takes. Package check takes the rows.
package patches

import (
	"context"
	"net/http"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/request"
)

// Rows lists what is asked of PATCH, for publishers and players alike.
func Rows() []checklist.Row {
	const m, s, o = checklist.Must, checklist.Should, checklist.May
	t := &tour{}
	return []checklist.Row{
		{ID: "W14", Level: s, Statement: "trickle ICE and ICE restart are both supported", Judge: t.judge(supported)},
		{ID: "W15", Level: m, Statement: "PATCH of another type, or malformed: 4xx", Judge: t.judge(wrongBodies)},
		{ID: "W16", Level: m, Statement: "who does only one of trickle and restart answers the other 422", Judge: t.judge(halfSupported)},
		{ID: "W17", Level: m, Statement: "every ICE session has a strong entity-tag of its own", Judge: t.judge(entityTags)},
		{ID: "W18", Level: m, Statement: "PATCH with a tag that does not match: 412; without If-Match: 428", Judge: t.judge(preconditions)},
		{ID: "W19", Level: m, Statement: "If-Match on DELETE is ignored", Judge: t.judge(deleteMatch)},
		{ID: "W22", Level: m, Statement: "a fragment is matched by its mid, whatever else its m-line says", Judge: t.judge(byMid)},
		{ID: "W23", Level: m, Statement: "trickle: 204, empty, no ETag", Judge: t.judge(trickled)},
		{ID: "W24", Level: m, Statement: "candidates that cannot be used are passed over, the others taken", Judge: t.judge(unusable)},
		{ID: "W25", Level: o, Statement: "repeated candidates and end-of-candidates do no harm", Judge: t.judge(repeated)},
		{ID: "W26", Level: m, Statement: "new credentials are a restart, with If-Match * or \"*\"", Judge: t.judge(restarts)},
		{ID: "W27", Level: m, Statement: "restart: 200, sdpfrag with new credentials and candidates, new ETag", Judge: t.judge(restartReply)},
		{ID: "W28", Level: m, Statement: "candidates from before a restart are dropped", Judge: t.judge(dropped)},
		{ID: "W29", Level: m, Statement: "ice-options, ice-pacing and ice-lite stay what they were", Judge: t.judge(sameOptions)},
		{ID: "W31", Level: m, Statement: "trickle with the tag from before a restart: 412", Judge: t.judge(outOfOrder)},
		{ID: "H9", Level: s, Statement: "a PATCH that is refused is refused at once", Judge: t.judge(prompt)},
	}
}

// judge has a row judged by what the tour saw, after making it if nobody has.
func (t *tour) judge(f func(*tour, *checklist.Run) checklist.Verdict) func(context.Context, *checklist.Run) checklist.Verdict {
	return func(ctx context.Context, r *checklist.Run) checklist.Verdict {
		if !t.made {
			t.made, t.err = true, t.make(ctx, r)
		}
		if t.err != nil {
			return checklist.NotSeen("%v", t.err)
		}
		return f(t, r)
	}
}

// unsupported reports whether a reply says that the server cannot do this kind of PATCH.
func unsupported(r request.Reply) bool {
	switch r.Status {
	case http.StatusUnprocessableEntity, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusNotFound:
		return true
	}
	return false
}

func supported(t *tour, _ *checklist.Run) checklist.Verdict {
	return checklist.When(t.good.OK() && t.restart.OK(), "trickle: %s, restart: %s", t.good, t.restart)
}

func wrongBodies(t *tour, _ *checklist.Run) checklist.Verdict {
	return checklist.When(t.wrongType.Refused() && t.offerType.Refused() && t.malformed.Refused(), "JSON: %d, application/sdp: %d, a malformed fragment: %d",
		t.wrongType.Status, t.offerType.Status, t.malformed.Status)
}

func halfSupported(t *tour, _ *checklist.Run) checklist.Verdict {
	trickle, restart := t.good.OK(), t.restart.OK()
	switch {
	case trickle && restart:
		return checklist.NotSeen("both are supported")
	case !trickle && !restart:
		return checklist.NotSeen("neither is supported: %s", t.good)
	case trickle:
		return checklist.When(t.restart.Status == http.StatusUnprocessableEntity, "trickle: %s, restart: %s", t.good, t.restart)
	default:
		return checklist.When(t.good.Status == http.StatusUnprocessableEntity, "restart: %s, trickle: %s", t.restart, t.good)
	}
}

func entityTags(t *tour, r *checklist.Run) checklist.Verdict {
	switch {
	case t.tag == "" && unsupported(t.restart):
		return checklist.NotSeen("no ICE restarts, so no tag is needed: %s", t.restart)
	case t.tag == "":
		return checklist.Failed("%s without ETag", t.session.Reply)
	}
	seen := map[string]bool{}
	for _, tag := range r.Tags() {
		if !request.StrongTag(tag) {
			return checklist.Failed("%s with an ETag that is weak or not in quotes", t.session.Reply)
		}
		seen[tag] = true
	}
	return checklist.When(len(seen) == len(r.Tags()), "%d sessions, %d strong ETags", len(r.Tags()), len(seen))
}

func preconditions(t *tour, r *checklist.Run) checklist.Verdict {
	switch {
	case t.tag == "":
		return checklist.NotSeen("the server gives no ETag")
	case unsupported(t.good):
		return checklist.NotSeen("no trickle ICE: %s", t.good)
	}
	allowed := t.noMatch.Status == http.StatusPreconditionRequired || !r.Strict && t.noMatch.Status == http.StatusNoContent
	evidence := "without If-Match: " + t.noMatch.String() + ", with another tag: " + t.stale.String()
	if t.staleHeard || t.bareHeard && !t.noMatch.OK() {
		return checklist.Failed("%s, but the server took its candidate", evidence)
	}
	if !allowed && r.Strict {
		evidence += " (--strict wants 428)"
	}
	return checklist.When(allowed && t.stale.Status == http.StatusPreconditionFailed, "%s", evidence)
}

func deleteMatch(t *tour, _ *checklist.Run) checklist.Verdict {
	return checklist.When(t.deleted.OK() && t.after.Missing(), "%s with If-Match \"nonsense\", then %s", t.deleted, t.after)
}

func prompt(t *tour, _ *checklist.Run) checklist.Verdict {
	slowest := max(t.wrongType.Took, t.offerType.Took, t.malformed.Took)
	return checklist.When(slowest < fast, "the slowest refusal took %v", slowest.Round(1e6))
}
