package patches

import (
	"net/http"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/request"
	"weever/mediad/internal/sdpfrag"
)

// works is nil when trickle ICE does, else the verdict of a row that needs it.
func (t *tour) works() *checklist.Verdict {
	if t.good.OK() {
		return nil
	}
	v := checklist.NotSeen("trickle does not work: %s", t.good)
	return &v
}

func byMid(t *tour, _ *checklist.Run) checklist.Verdict {
	if v := t.works(); v != nil {
		return *v
	}
	if !t.heard {
		return checklist.Warned("%s, but no connectivity check came to the candidate: it was not taken, or a NAT is between", t.good)
	}
	return checklist.Passed("m-line with another profile and format, a=mid:first: %s, and the server checks the candidate", t.good)
}

func trickled(t *tour, _ *checklist.Run) checklist.Verdict {
	if unsupported(t.good) {
		return checklist.NotSeen("no trickle ICE: %s", t.good)
	}
	tag := t.good.Header.Get("ETag")
	return checklist.When(t.good.Status == http.StatusNoContent && t.good.Body == "" && tag == "", "%s, %d bytes, ETag: %v", t.good, len(t.good.Body), tag != "")
}

func unusable(t *tour, _ *checklist.Run) checklist.Verdict {
	if v := t.works(); v != nil {
		return *v
	}
	evidence := "TCP, .local, two unknown kinds and a good one: " + t.useless.String()
	switch {
	case t.useless.Status != http.StatusNoContent:
		return checklist.Failed("%s", evidence)
	case !t.heard:
		return checklist.Warned("%s; whether the good one is taken cannot be seen, for no connectivity check comes here", evidence)
	}
	return checklist.When(t.uselessHeard, "%s, the good one is checked: %v", evidence, t.uselessHeard)
}

func repeated(t *tour, _ *checklist.Run) checklist.Verdict {
	if v := t.works(); v != nil {
		return *v
	}
	return checklist.When(t.again.Status == http.StatusNoContent, "the same candidate twice more, and a=end-of-candidates: %s", t.again)
}

func restarts(t *tour, _ *checklist.Run) checklist.Verdict {
	if unsupported(t.restart) {
		return checklist.NotSeen("no ICE restart: %s", t.restart)
	}
	if !t.restart.OK() {
		return checklist.Failed("If-Match *: %s", t.restart)
	}
	return checklist.When(t.restart.Status == http.StatusOK && t.quoted.Status == http.StatusOK, "If-Match *: %s, \"*\": %s", t.restart, t.quoted)
}

// restarted is nil when there was a restart, else the verdict of a row that needs one.
func (t *tour) restarted() *checklist.Verdict {
	if t.restart.OK() {
		return nil
	}
	v := checklist.NotSeen("no ICE restart: %s", t.restart)
	return &v
}

func restartReply(t *tour, _ *checklist.Run) checklist.Verdict {
	if v := t.restarted(); v != nil {
		return *v
	}
	f, err := t.fragment()
	kind := t.restart.Header.Get("Content-Type")
	before := t.session.Login()
	switch {
	case t.restart.Status != http.StatusOK:
		return checklist.Failed("%s in place of 200", t.restart)
	case kind != sdpfrag.ContentType:
		return checklist.Failed("%s, Content-Type %q", t.restart, kind)
	case err != nil:
		return checklist.Failed("%s, but the body is no fragment", t.restart)
	case f.Ufrag == "" || f.Pwd == "" || f.Ufrag == before.Theirs || f.Pwd == before.Pwd:
		return checklist.Failed("%s without new credentials of the server", t.restart)
	case len(f.Candidates) == 0:
		return checklist.Failed("%s without candidates", t.restart)
	case !request.StrongTag(t.newTag()) || t.newTag() == t.tag:
		return checklist.Failed("%s without a new strong ETag", t.restart)
	}
	return checklist.Passed("%s, new credentials, %d candidates, new ETag", t.restart, len(f.Candidates))
}

func dropped(t *tour, _ *checklist.Run) checklist.Verdict {
	if v := t.restarted(); v != nil {
		return *v
	}
	if !t.newHeard {
		return checklist.NotSeen("no connectivity check comes to the candidate of the restart, so nothing can be said of the old one")
	}
	return checklist.When(!t.oldHeard, "under the new credentials the new candidate is checked: true, the old one: %v", t.oldHeard)
}

func sameOptions(t *tour, _ *checklist.Run) checklist.Verdict {
	if v := t.restarted(); v != nil {
		return *v
	}
	f, err := t.fragment()
	if err != nil {
		return checklist.NotSeen("%s, but the body is no fragment", t.restart)
	}
	a := t.session.Answer
	return checklist.When(f.Options == a.Options && f.Pacing == a.Pacing && f.Lite == a.Lite,
		"answer: options %q, pacing %q, lite %v; after the restart: options %q, pacing %q, lite %v", a.Options, a.Pacing, a.Lite, f.Options, f.Pacing, f.Lite)
}

func outOfOrder(t *tour, _ *checklist.Run) checklist.Verdict {
	if v := t.restarted(); v != nil {
		return *v
	}
	if t.tag == "" {
		return checklist.NotSeen("the server gives no ETag")
	}
	if t.lateHeard {
		return checklist.Failed("%s, but the server took the candidate", t.late)
	}
	return checklist.When(t.late.Status == http.StatusPreconditionFailed, "trickle with the ETag from before the restart: %s", t.late)
}
