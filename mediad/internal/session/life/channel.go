package life

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/pion/datachannel"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/peer"
)

// What waits in SCTP for a client that does not read, in bytes.
const (
	maxBuffered = 1 << 20  // beyond that the session ends
	muchWaits   = 64 << 10 // beyond that the client is behind: five seconds at 100 kbit/s
)

// ErrStalled ends a session whose client does not read what it is sent.
var ErrStalled = errors.New("the client does not read its control channel")

// Channel is the control channel of one session. Send may be called by one goroutine at a time.
type Channel struct {
	dc  *webrtc.DataChannel
	raw datachannel.ReadWriteCloser

	drained chan struct{} // capacity 1
}

// awaitChannel delivers the first data channel labelled "control" that the client opens. Others are closed: nobody would read them.
func awaitChannel(ctx context.Context, pc *webrtc.PeerConnection) <-chan *Channel {
	out := make(chan *Channel, 1)
	var taken atomic.Bool
	pc.OnDataChannel(func(dc *webrtc.DataChannel) {
		dc.OnOpen(func() {
			raw, err := dc.Detach()
			if err != nil {
				return
			}
			if dc.Label() != control.Label || ctx.Err() != nil || !taken.CompareAndSwap(false, true) {
				_ = raw.Close()
				return
			}
			c := &Channel{dc, raw, make(chan struct{}, 1)}
			dc.SetBufferedAmountLowThreshold(muchWaits)
			dc.OnBufferedAmountLow(func() {
				select {
				case c.drained <- struct{}{}:
				default:
				}
			})
			out <- c
		})
	})
	return out
}

// Send writes one message. It does not wait for the client: it is an error if too much waits already. A *control.Error is about a
// message that cannot be written, any other about the channel.
func (c *Channel) Send(m control.Message) error {
	text, err := control.Encode(m)
	if err != nil {
		return fmt.Errorf("control message: %w", err)
	}
	if c.dc.BufferedAmount() > maxBuffered {
		return ErrStalled
	}
	_, err = c.raw.WriteDataChannel([]byte(text), true)
	return err
}

// Behind reports whether so much waits for the client that what is less urgent should wait, too. Any goroutine may call it.
func (c *Channel) Behind() bool { return c.dc.BufferedAmount() > muchWaits }

// Drained gets a value when the client was behind and is so no more.
func (c *Channel) Drained() <-chan struct{} { return c.drained }

// Incoming is one message as it came: parsed, or the complaint about it.
type Incoming struct {
	Msg control.Message // nil: Bad says why
	Bad *control.Error
}

// read delivers messages until the channel or ctx ends.
func (c *Channel) read(ctx context.Context, out chan<- Incoming) error {
	buf := make([]byte, 4<<10)
	for {
		n, _, err := c.raw.ReadDataChannel(buf)
		if errors.Is(err, io.ErrShortBuffer) && len(buf) < peer.MaxMessage {
			buf = make([]byte, min(4*len(buf), peer.MaxMessage)) // the message stays queued until it is read whole
			continue
		}
		if err != nil {
			return err
		}
		var h Incoming
		h.Msg, err = control.Parse(control.FromClient, buf[:n])
		if err != nil && !errors.As(err, &h.Bad) {
			return err
		}
		select {
		case out <- h:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
