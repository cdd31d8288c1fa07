package patches

import (
	"context"
	"fmt"
	"time"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/probe"
	"weever/mediad/internal/check/request"
	"weever/mediad/internal/sdpfrag"
)

const (
	fast     = 2 * time.Second        // for a refusal
	firstEar = 3 * time.Second        // for the server's check of the first candidate
	laterEar = 3 * time.Second        // for those of later ones, when the first was checked
	silence  = 400 * time.Millisecond // for those that must not come: servers check every 50 to 200 ms
)

// tour is one session and every kind of PATCH sent to it, in an order in which none spoils the next.
type tour struct {
	made bool
	err  error // there was no session

	session *checklist.Session
	tag     string // its first entity-tag, as it came

	wrongType, offerType, malformed request.Reply // bodies that are no fragments
	noMatch, stale                  request.Reply // trickle without If-Match, and with another tag
	good, useless, again            request.Reply // trickle as it should be; with what cannot be used; all of it again
	restart, quoted, late           request.Reply // restart with * and with "*"; trickle with the tag from before
	deleted, after                  request.Reply // DELETE with If-Match, and a PATCH behind it

	// Where the server's connectivity checks arrived. heard is about the good one, and nothing can be said of the others without it.
	heard, uselessHeard, staleHeard, bareHeard bool
	// The same after the restart, under the new credentials: at the new candidate, at the old one, at that of the late trickle.
	newHeard, oldHeard, lateHeard bool
}

// ears are the sockets that play candidates.
type ears struct{ good, beside, bare, stale, renewed *probe.Socket }

func (t *tour) make(ctx context.Context, r *checklist.Run) (err error) {
	offer := probe.Plain(r.Direction()).Mids("first", "second") // no numbers: they are matched as texts
	if t.session, err = r.Open(ctx, offer.SDP()); err != nil {
		return err
	}
	defer r.Close(ctx, t.session)
	t.tag = t.session.ETag
	if t.session.Answer == nil {
		return probe.ErrSDP
	}
	e, err := listen(t.session.Answer)
	if err != nil {
		return err
	}
	defer e.close()
	for _, step := range []func(context.Context, *ears) error{t.bodies, t.trickle, t.listenTrickle, t.restarts, t.listenRestart, t.leave} {
		if err := step(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// listen opens the ears on the side of this machine that the server's first candidate is on.
func listen(a *probe.Answer) (*ears, error) {
	hosts := a.Hosts()
	if len(hosts) == 0 {
		return nil, fmt.Errorf("the answer has no candidate over UDP")
	}
	e := &ears{}
	for _, ear := range []**probe.Socket{&e.good, &e.beside, &e.bare, &e.stale, &e.renewed} {
		var err error
		if *ear, err = probe.Listen(hosts[0]); err != nil {
			e.close()
			return nil, fmt.Errorf("opening a UDP socket: %w", err)
		}
	}
	return e, nil
}

func (e *ears) close() {
	for _, ear := range []*probe.Socket{e.good, e.beside, e.bare, e.stale, e.renewed} {
		if ear != nil {
			ear.Close()
		}
	}
}

// steps runs requests until one gets no reply.
func steps(list ...func() error) error {
	for _, step := range list {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// into keeps the reply of a request.
func into(reply *request.Reply, do func() (request.Reply, error)) func() error {
	return func() (err error) {
		*reply, err = do()
		return err
	}
}

// bodies sends what is no fragment.
func (t *tour) bodies(ctx context.Context, _ *ears) error {
	s, tag := t.session, t.session.Tag()
	return steps(
		into(&t.wrongType, func() (request.Reply, error) {
			return s.PatchAs(ctx, "application/json", `{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host"}`, tag)
		}),
		into(&t.offerType, func() (request.Reply, error) { return s.PatchAs(ctx, "application/sdp", s.Ours.String(), tag) }),
		into(&t.malformed, func() (request.Reply, error) { return s.Patch(ctx, "this is no fragment", tag) }),
	)
}

// trickle sends candidates in all ways.
func (t *tour) trickle(ctx context.Context, e *ears) error {
	s, tag := t.session, t.session.Tag()
	good := probe.Candidate(e.good.Addr(), 1)
	stale := probe.Candidate(e.stale.Addr(), 2)
	useless := []string{
		"candidate:3 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
		"candidate:4 1 udp 2122260223 3f1d2a0c-5b7e-4f0a-9c61-0a1b2c3d4e5f.local 50000 typ host",
		"candidate:5 1 udp 2122260223 192.0.2.1 50001 typ nonsense",
		probe.Candidate(e.beside.Addr(), 6),
		"candidate:7 1 dccp 2122260223 192.0.2.1 50002 typ host",
	}
	again := s.Ours
	again.Candidates, again.End = []string{good, good}, true
	return steps(
		into(&t.stale, func() (request.Reply, error) { return s.Trickle(ctx, `"nonsense"`, stale) }),
		into(&t.noMatch, func() (request.Reply, error) { return s.Trickle(ctx, "", probe.Candidate(e.bare.Addr(), 10)) }),
		into(&t.good, func() (request.Reply, error) { return s.Patch(ctx, example(s.Ours, good), tag) }),
		into(&t.useless, func() (request.Reply, error) { return s.Trickle(ctx, tag, useless...) }),
		into(&t.again, func() (request.Reply, error) { return s.Patch(ctx, again.String(), tag) }),
	)
}

// example writes a fragment in the form of RFC 9725's example: credentials in front, and an m-line in which nothing is right but
// the medium.
func example(f sdpfrag.Fragment, candidate string) string {
	return fmt.Sprintf("a=ice-ufrag:%s\r\na=ice-pwd:%s\r\nm=%s 9 RTP/AVP 0\r\na=mid:%s\r\na=%s\r\n", f.Ufrag, f.Pwd, f.Media, f.Mid, candidate)
}

// listenTrickle waits for the server's checks.
func (t *tour) listenTrickle(ctx context.Context, e *ears) (err error) {
	if !t.good.OK() {
		return nil
	}
	ufrag := t.session.Ours.Ufrag
	if t.heard, err = e.good.Hears(ctx, ufrag, firstEar); err != nil || !t.heard {
		return err
	}
	if t.uselessHeard, err = e.beside.Hears(ctx, ufrag, laterEar); err != nil {
		return err
	}
	if t.staleHeard, err = e.stale.Hears(ctx, ufrag, silence); err != nil {
		return err
	}
	t.bareHeard, err = e.bare.Hears(ctx, ufrag, time.Millisecond)
	return err
}

// restarts renews the credentials twice.
func (t *tour) restarts(ctx context.Context, e *ears) error {
	s, before := t.session, t.session.Tag()
	first := s.Renewed(probe.Candidate(e.renewed.Addr(), 8))
	if err := into(&t.restart, func() (request.Reply, error) { return s.Patch(ctx, first.String(), "*") })(); err != nil {
		return err
	}
	if !t.restart.OK() {
		return nil
	}
	old := s.Ours
	old.Candidates = []string{probe.Candidate(e.stale.Addr(), 9)}
	s.Ours.Ufrag, s.Ours.Pwd = first.Ufrag, first.Pwd
	s.Renew(t.restart)
	return into(&t.late, func() (request.Reply, error) { return s.Patch(ctx, old.String(), before) })()
}

// listenRestart sees which candidates the server checks now, then restarts once more.
func (t *tour) listenRestart(ctx context.Context, e *ears) (err error) {
	s := t.session
	if !t.restart.OK() {
		return nil
	}
	if t.heard {
		if t.newHeard, err = e.renewed.Hears(ctx, s.Ours.Ufrag, firstEar); err != nil {
			return err
		}
		if t.oldHeard, err = e.good.Hears(ctx, s.Ours.Ufrag, silence); err != nil {
			return err
		}
		if t.lateHeard, err = e.stale.Hears(ctx, s.Ours.Ufrag, time.Millisecond); err != nil {
			return err
		}
	}
	again := s.Renewed()
	if err := into(&t.quoted, func() (request.Reply, error) { return s.Patch(ctx, again.String(), `"*"`) })(); err != nil {
		return err
	}
	if t.quoted.OK() {
		s.Ours.Ufrag, s.Ours.Pwd = again.Ufrag, again.Pwd
		s.Renew(t.quoted)
	}
	return nil
}

// leave ends the session with a header that means nothing here.
func (t *tour) leave(ctx context.Context, _ *ears) error {
	s := t.session
	return steps(
		into(&t.deleted, func() (request.Reply, error) { return s.Delete(ctx, `"nonsense"`) }),
		into(&t.after, func() (request.Reply, error) {
			last, _, err := s.AfterDelete(ctx)
			return last, err
		}),
	)
}

// fragment is that of the reply to the restart, if it is one.
func (t *tour) fragment() (sdpfrag.Fragment, error) {
	return sdpfrag.ParseReply([]byte(t.restart.Body))
}

// newTag is the entity-tag that the restart brought.
func (t *tour) newTag() string { return t.restart.Header.Get("ETag") }
