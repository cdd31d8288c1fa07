package checklist

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"weever/mediad/internal/check/probe"
	"weever/mediad/internal/check/request"
	"weever/mediad/internal/sdpfrag"
)

// Session is one session on the server. The Run that opened it closes it.
type Session struct {
	Reply  request.Reply    // to the POST
	Answer *probe.Answer    // nil when the body of the reply is none
	Ours   sdpfrag.Fragment // the ICE part of the offer
	URL    string           // a secret
	ETag   string           // of the present ICE session, as it came
	Live   *probe.Live      // nil for a session without media

	run *Run
}

// Adopt makes a session of the reply to a POST, if it is one of success with a Location, so that it will be closed; else nil.
func (r *Run) Adopt(offer string, reply request.Reply) *Session {
	location := reply.Header.Get("Location")
	if !reply.OK() || location == "" {
		return nil
	}
	u, err := reply.URL.Parse(location)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return nil
	}
	s := &Session{Reply: reply, URL: u.String(), ETag: reply.Header.Get("ETag"), run: r}
	if s.Ours, err = sdpfrag.FromSDP(offer); err != nil {
		s.Ours = sdpfrag.Fragment{}
	}
	s.Ours.Candidates = nil
	if s.Answer, err = probe.ReadAnswer(reply.Body); err != nil {
		s.Answer = nil
	}
	r.open = append(r.open, s)
	r.remember(s, u)
	return s
}

func (r *Run) remember(s *Session, u *url.URL) {
	r.paths = append(r.paths, u.Path+"?"+u.RawQuery)
	if s.ETag != "" {
		r.tags = append(r.tags, s.ETag)
	}
	r.Hide(s.URL)
	r.Hide(u.Path[strings.LastIndex(u.Path, "/")+1:])
	r.Hide(u.RawQuery)
	if s.Answer != nil {
		for _, m := range s.Answer.Media {
			r.Hide(m.Pwd)
		}
	}
}

// Close ends a session on the server and on our side, even when ctx is over. What the server replies does not matter.
func (r *Run) Close(ctx context.Context, s *Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	r.end(ctx, s)
}

// end is Close within ctx.
func (r *Run) end(ctx context.Context, s *Session) {
	r.open = slices.DeleteFunc(r.open, func(o *Session) bool { return o == s })
	_, _ = s.Delete(ctx, "")
	if s.Live != nil {
		s.Live.Hangup()
	}
}

// Tag is the entity-tag to name the ICE session by. A weak one is used as if it were strong: that it is weak is a row of its own.
func (s *Session) Tag() string { return strings.TrimPrefix(s.ETag, "W/") }

// Renew takes the entity-tag over that the reply to a restart brought.
func (s *Session) Renew(reply request.Reply) {
	if tag := reply.Header.Get("ETag"); tag != "" {
		s.ETag = tag
	}
}

// Get asks whether the session is there.
func (s *Session) Get(ctx context.Context) (request.Reply, error) {
	return s.run.HTTP.Do(ctx, request.Request{Method: http.MethodGet, URL: s.URL, Token: s.run.Token})
}

// Delete ends the session. ifMatch is sent as it is; empty leaves it out.
func (s *Session) Delete(ctx context.Context, ifMatch string) (request.Reply, error) {
	return s.run.HTTP.Do(ctx, request.Request{Method: http.MethodDelete, URL: s.URL, Token: s.run.Token, IfMatch: ifMatch})
}

// Patch sends a fragment. ifMatch is sent as it is; empty leaves it out.
func (s *Session) Patch(ctx context.Context, body, ifMatch string) (request.Reply, error) {
	return s.PatchAs(ctx, sdpfrag.ContentType, body, ifMatch)
}

// PatchAs sends a body of any type.
func (s *Session) PatchAs(ctx context.Context, contentType, body, ifMatch string) (request.Reply, error) {
	return s.run.HTTP.Do(ctx, request.Request{
		Method: http.MethodPatch, URL: s.URL, Type: contentType, Body: body, Token: s.run.Token, IfMatch: ifMatch,
	})
}

// Trickle sends candidates of the present ICE session.
func (s *Session) Trickle(ctx context.Context, ifMatch string, candidates ...string) (request.Reply, error) {
	f := s.Ours
	f.Candidates = candidates
	return s.Patch(ctx, f.String(), ifMatch)
}

// Renewed is a fragment with new ICE credentials: a restart.
func (s *Session) Renewed(candidates ...string) sdpfrag.Fragment {
	f := s.Ours
	f.Ufrag, f.Pwd = probe.Credentials()
	f.Candidates = candidates
	return f
}

// Login is what the server takes binding requests with, as its answer says.
func (s *Session) Login() probe.Login {
	if s.Answer == nil {
		return probe.Login{}
	}
	m := s.Answer.Media[0]
	return probe.Login{Theirs: m.Ufrag, Pwd: m.Pwd, Ours: s.Ours.Ufrag}
}

// leaving is how long a session may still be there after a DELETE was answered.
const leaving = time.Second

// AfterDelete sends PATCHes until one is answered as it must be after a DELETE, or one that was sent a second later is not. It
// returns the last reply, and the first: a server that answers DELETE before it is done with it shows in that one.
func (s *Session) AfterDelete(ctx context.Context) (last, first request.Reply, err error) {
	began := time.Now()
	for try := 0; ; try++ {
		sent := time.Now()
		if last, err = s.Trickle(ctx, s.Tag()); err != nil {
			return last, first, err
		}
		if try == 0 {
			first = last
		}
		if last.Missing() || sent.Sub(began) > leaving {
			return last, first, nil
		}
	}
}

// Signs is how a session answers while it lives, so that its end can be told.
type Signs struct{ get, patch bool }

// Signs looks at a session that is there.
func (s *Session) Signs(ctx context.Context) (Signs, error) {
	get, err := s.Get(ctx)
	if err != nil {
		return Signs{}, err
	}
	patch, err := s.Trickle(ctx, s.Tag())
	return Signs{get.OK(), patch.OK()}, err
}

// Useful reports whether there is any sign of life.
func (g Signs) Useful() bool { return g.get || g.patch }

// Gone asks whether the session has ended: every sign of life that it gave is the refusal of a session that is not there. The replies are the evidence.
func (s *Session) Gone(ctx context.Context, g Signs) (gone bool, evidence string, err error) {
	gone = g.Useful()
	var parts []string
	if g.get {
		r, err := s.Get(ctx)
		if err != nil {
			return false, "", err
		}
		gone = gone && r.Missing()
		parts = append(parts, r.String())
	}
	if g.patch {
		r, err := s.Trickle(ctx, s.Tag())
		if err != nil {
			return false, "", err
		}
		gone = gone && r.Missing()
		parts = append(parts, r.String())
	}
	return gone, strings.Join(parts, ", "), nil
}
