package lives

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/request"
	"weever/mediad/internal/sdpfrag"
)

// resumed is how long media may take to flow again: reports of a publisher come every second or so.
const resumed = 10 * time.Second

// course is a session with media that lives through ICE restarts: two that must be refused, and one that should not.
type course struct {
	made bool
	err  error

	bad, stale request.Reply // restarts: without a password, and with another entity-tag
	flows      bool          // media came after those
	get        request.Reply // after those
	knocked    bool          // the server answered STUN before those
	still      bool          // and does so afterwards

	restart request.Reply
	failed  error // the restart could not be carried through
	again   bool  // media came after it
}

func (c *course) judge(f func(*course) checklist.Verdict) func(context.Context, *checklist.Run) checklist.Verdict {
	return func(ctx context.Context, r *checklist.Run) checklist.Verdict {
		if !c.made {
			c.made, c.err = true, c.make(ctx, r)
		}
		if c.err != nil {
			return checklist.NotSeen("%v", c.err)
		}
		return f(c)
	}
}

func (c *course) make(ctx context.Context, r *checklist.Run) error {
	s, err := r.Live(ctx)
	if err != nil {
		return err
	}
	defer r.Close(ctx, s)
	// Whatever else can be seen, media that came once must go on coming.
	if c.flows, err = grows(ctx, s, resumed); err != nil {
		return err
	}
	if !c.flows {
		return errors.New("nothing is received on a session with media")
	}
	k, err := knock(ctx, s)
	if err != nil {
		return err
	}
	defer k.close()
	c.knocked = k.at.IsValid()
	fresh := s.Renewed()
	alone := fresh
	alone.Pwd = ""
	if c.bad, err = s.Patch(ctx, alone.String(), "*"); err != nil {
		return err
	}
	if s.ETag != "" {
		if c.stale, err = s.Patch(ctx, fresh.String(), `"nonsense"`); err != nil {
			return err
		}
	}
	if c.get, err = s.Get(ctx); err != nil {
		return err
	}
	if c.still, err = k.answered(ctx, s.Login()); err != nil {
		return err
	}
	if c.flows, err = grows(ctx, s, resumed); err != nil {
		return err
	}
	return c.renew(ctx, s)
}

// grows waits until something more is received.
func grows(ctx context.Context, s *checklist.Session, limit time.Duration) (bool, error) {
	before := s.Live.Received()
	return until(ctx, limit, poll, func() (bool, error) { return s.Live.Received() > before, nil })
}

// renew restarts ICE as a phone does that changes its network: new sockets, too.
func (c *course) renew(ctx context.Context, s *checklist.Session) error {
	c.failed = s.Live.Restart(ctx, func(ctx context.Context, ours sdpfrag.Fragment) (sdpfrag.Fragment, error) {
		var err error
		if c.restart, err = s.Patch(ctx, ours.String(), "*"); err != nil {
			return sdpfrag.Fragment{}, err
		}
		if c.restart.Status != http.StatusOK {
			return sdpfrag.Fragment{}, fmt.Errorf("%s", c.restart)
		}
		return sdpfrag.ParseReply([]byte(c.restart.Body))
	})
	if c.failed != nil {
		return ctx.Err()
	}
	// What comes before ICE is connected again was on its way already.
	up, err := until(ctx, resumed, poll, func() (bool, error) {
		state := s.Live.PeerConnection().ICEConnectionState()
		return state == webrtc.ICEConnectionStateConnected || state == webrtc.ICEConnectionStateCompleted, nil
	})
	if err != nil || !up {
		return err
	}
	c.again, err = grows(ctx, s, resumed)
	return err
}

func unharmed(c *course) checklist.Verdict {
	var refused []string
	if c.bad.Refused() {
		refused = append(refused, fmt.Sprintf("without a password: %d", c.bad.Status))
	}
	if c.stale.Refused() {
		refused = append(refused, fmt.Sprintf("with another tag: %d", c.stale.Status))
	}
	if len(refused) == 0 {
		return checklist.NotSeen("no restart was refused: %s", c.bad)
	}
	if c.bad.OK() || c.stale.OK() {
		return checklist.NotSeen("one was refused (%s), the other not: which the session lives by cannot be told", refused[0])
	}
	evidence := fmt.Sprintf("restart %s; afterwards media comes: %v, STUN under the old credentials: %v, %s", strings.Join(refused, ", "), c.flows, c.still, c.get)
	return checklist.When(c.flows && (c.still || !c.knocked) && c.get.Status != http.StatusNotFound, "%s", evidence)
}

func goesOn(c *course) checklist.Verdict {
	switch {
	case c.restart.Status != 0 && !c.restart.OK():
		return checklist.NotSeen("no ICE restart: %s", c.restart)
	case c.failed != nil:
		return checklist.Failed("the restart fails: %v", c.failed)
	}
	return checklist.When(c.again, "%s with new sockets, then media comes: %v", c.restart, c.again)
}
