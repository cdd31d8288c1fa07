package relay

import (
	"context"
	"encoding/json"
	"fmt"

	"weever/mediad/internal/fanout"
	"weever/shared/room"
)

// This file reads what a stream carries where it is published, without taking it off the bus: for players who choose among layers.

// Meter is a reading of a stream at its owner's.
type Meter struct {
	Bytes  uint64 `json:"bytes"`            // of payload since the stream began
	Width  int    `json:"width,omitempty"`  // of the pictures, in pixels; 0: not known
	Height int    `json:"height,omitempty"` // likewise
}

// Meter reads the stream of key, which owner publishes: of this node at once, else by a node call, which ends with ctx. The error is
// ErrNotPublished, or as of nodecall's Call.
func (r *Relay) Meter(ctx context.Context, key Key, owner room.Owner) (Meter, error) {
	subject, err := key.subject(r.prefix)
	if err != nil {
		return Meter{}, err
	}
	if owner.Instance == r.cfg.Instance {
		stream, err := r.find(subject)
		if err != nil {
			return Meter{}, ErrNotPublished
		}
		return meterOf(stream), nil
	}
	req, err := json.Marshal(call{Subject: subject})
	if err != nil {
		return Meter{}, err
	}
	answer, err := r.cfg.Calls.Call(ctx, owner.Instance, verbMeter, req)
	if err != nil {
		return Meter{}, err
	}
	var m Meter
	if err := json.Unmarshal(answer, &m); err != nil {
		return Meter{}, fmt.Errorf("reading of another node's stream: %w", err)
	}
	return m, nil
}

func (r *Relay) serveMeter(c call) ([]byte, error) {
	stream, err := r.find(c.Subject)
	if err != nil {
		return nil, err
	}
	return json.Marshal(meterOf(stream))
}

func meterOf(s *fanout.Stream) Meter {
	st := s.Stats()
	return Meter{Bytes: st.Bytes, Width: st.Width, Height: st.Height}
}
