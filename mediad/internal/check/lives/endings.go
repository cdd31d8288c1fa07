package lives

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/request"
)

const (
	noticed    = 5 * time.Second // for what must be seen at once: a close_notify on either side
	consentGap = time.Second     // between looks at a session that has fallen silent
)

// ending is a session with media that is ended by DELETE.
type ending struct {
	made bool
	err  error

	session  *checklist.Session
	feedback uint64 // see probe.Live
	media    bool   // something was received

	deleted    request.Reply
	early      request.Reply // the first PATCH behind it
	get, patch request.Reply // when it has taken effect, or should have
	told       bool          // our side was told of the end by DTLS

	knocked     bool // the server answered STUN before the DELETE,
	late, still bool // right behind it, and when it should have taken effect
}

func (e *ending) judge(f func(*ending, *checklist.Run) checklist.Verdict) func(context.Context, *checklist.Run) checklist.Verdict {
	return func(ctx context.Context, r *checklist.Run) checklist.Verdict {
		if !e.made {
			e.made, e.err = true, e.make(ctx, r)
		}
		if e.err != nil {
			return checklist.NotSeen("%v", e.err)
		}
		return f(e, r)
	}
}

func (e *ending) make(ctx context.Context, r *checklist.Run) error {
	s, err := r.Live(ctx)
	if err != nil {
		return err
	}
	defer r.Close(ctx, s)
	e.session = s
	if _, err := until(ctx, feedbackWait, poll, func() (bool, error) { return s.Live.Feedback() > 0, nil }); err != nil {
		return err
	}
	e.feedback, e.media = s.Live.Feedback(), s.Live.Received() > 0
	k, err := knock(ctx, s)
	if err != nil {
		return err
	}
	defer k.close()
	e.knocked = k.at.IsValid()
	if e.deleted, err = s.Delete(ctx, ""); err != nil {
		return err
	}
	if e.late, err = k.answered(ctx, s.Login()); err != nil {
		return err
	}
	if e.patch, e.early, err = s.AfterDelete(ctx); err != nil {
		return err
	}
	if e.get, err = s.Get(ctx); err != nil {
		return err
	}
	if e.still, err = k.answered(ctx, s.Login()); err != nil {
		return err
	}
	select {
	case <-s.Live.Done():
		e.told = true
	case <-time.After(noticed):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func deleted(e *ending, _ *checklist.Run) checklist.Verdict {
	seen := []string{e.deleted.String(), "then " + e.get.String(), e.patch.String()}
	if e.told {
		seen = append(seen, "DTLS closed")
	} else {
		seen = append(seen, "DTLS not closed")
	}
	if e.deleted.OK() && e.deleted.Status != http.StatusOK {
		seen = append(seen, "(OBS takes 200 alone)")
	}
	evidence := strings.Join(seen, ", ")
	if !e.deleted.OK() || !e.patch.Missing() || e.get.OK() {
		return checklist.Failed("%s", evidence)
	}
	if !e.told && (e.still || !e.knocked) {
		return checklist.Failed("%s, and nothing else shows that ICE is", evidence)
	}
	if e.early.OK() {
		return checklist.Warned("%s; but right behind the DELETE %s", evidence, e.early)
	}
	if !e.told {
		return checklist.Warned("%s", evidence)
	}
	return checklist.Passed("%s", evidence)
}

func exactly(e *ending, _ *checklist.Run) checklist.Verdict {
	return checklist.When(e.deleted.Status == http.StatusOK, "%s", e.deleted)
}

func revoked(e *ending, _ *checklist.Run) checklist.Verdict {
	if !e.knocked {
		return checklist.NotSeen("STUN requests are not answered before DELETE either")
	}
	evidence := fmt.Sprintf("STUN requests with the session's credentials answered before %s: true, right behind it: %v, later: %v", e.deleted, e.late, e.still)
	if e.late && !e.still {
		return checklist.Warned("%s", evidence)
	}
	return checklist.When(!e.still, "%s", evidence)
}

// departures ends one session with a farewell and one in silence.
func departures(ctx context.Context, r *checklist.Run) checklist.Verdict {
	farewell := depart(ctx, r, "DTLS close_notify", noticed, poll, func(s *checklist.Session) { s.Live.Hangup() })
	if r.Consent <= 0 {
		return farewell
	}
	silence := depart(ctx, r, "silence", r.Consent, consentGap, func(s *checklist.Session) { s.Live.SetNetwork(false) })
	v := checklist.Verdict{Status: farewell.Status, Evidence: farewell.Evidence + "; " + silence.Evidence}
	if silence.Status == checklist.Fail || farewell.Status == checklist.Pass {
		v.Status = silence.Status
	}
	return v
}

// depart opens a session, has our side leave it and waits for the server to have it ended.
func depart(ctx context.Context, r *checklist.Run, what string, limit, every time.Duration, leave func(*checklist.Session)) checklist.Verdict {
	s, err := r.Live(ctx)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	defer r.Close(ctx, s)
	signs, err := s.Signs(ctx)
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	if !signs.Useful() {
		return checklist.NotSeen("neither GET nor PATCH tells whether a session is there")
	}
	began := time.Now()
	leave(s)
	var seen string
	gone, err := until(ctx, limit, every, func() (gone bool, err error) {
		gone, seen, err = s.Gone(ctx, signs)
		return gone, err
	})
	if err != nil {
		return checklist.NotSeen("%v", err)
	}
	return checklist.When(gone, "%v after %s: %s", time.Since(began).Round(100*time.Millisecond), what, seen)
}
