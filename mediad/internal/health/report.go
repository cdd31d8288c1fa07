package health

import (
	"math"
	"time"

	"weever/mediad/internal/admission"
)

// Report is the body of an answer to a balancer, and for people who ask why.
type Report struct {
	Status     Status               `json:"status"`
	Reason     string               `json:"reason,omitempty"` // why it is not OK; of Full: the limits
	Components map[string]Component `json:"components"`       // by name of backend or limit
	Backends   map[string]string    `json:"backends"`         // of those that all nodes share: up, down or unknown
}

// Ready reports whether the node takes sessions.
func (r Report) Ready() bool { return r.Status == OK || r.Status == Degraded }

// Up tells of each backend that was asked whether it is there.
func (r Report) Up() map[string]bool {
	up := map[string]bool{}
	for name, c := range r.Components {
		if c.Value == nil && c.Status != "unknown" { // limits have a value
			up[name] = c.Status == "up"
		}
	}
	return up
}

// Component is one part of it. A backend has Since, a limit the rest.
type Component struct {
	Status string    `json:"status"` // of a backend: up, down, or unknown before it was asked; of a limit: ok or full
	Since  time.Time `json:"since,omitzero"`
	Value  *float64  `json:"value,omitempty"`
	Max    *float64  `json:"max,omitempty"` // nil: no limit
	Unit   string    `json:"unit,omitempty"`
}

func limited(l admission.Limit) Component {
	value := math.Round(l.Value*10) / 10
	c := Component{Status: "ok", Value: &value, Unit: l.Unit}
	if l.Full {
		c.Status = "full"
	}
	if l.Max > 0 {
		c.Max = &l.Max
	}
	return c
}
