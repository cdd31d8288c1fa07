package room

import "time"

// Role says which half of a room a session belongs to; it is also the word in the URLs.
type Role string

// The two roles.
const (
	Pub Role = "pub"
	Sub Role = "sub"
)

// State is where a publisher's session stands. Pending sessions have no record: nobody but their own node knows of them.
type State string

// The states a record can be in.
const (
	Live State = "live" // packets arrive
	Away State = "away" // silent for a while; its sections wait for it
)

// Owner is the process that serves a session. A restarted node has the same Node, another Instance and a higher Epoch.
type Owner struct {
	Node     string `json:"node"`     // the node's id, as in Consul
	Instance string `json:"instance"` // unguessable name of the process on the bus
	Epoch    int64  `json:"epoch"`    // rises with each start of the node
}

// Track is one thing a publisher sends: one m-line of its SDP.
type Track struct {
	ID     string   `json:"id"`    // "video0", "audio0", …: kind and place among the m-lines of that kind
	Kind   string   `json:"kind"`  // "audio" or "video"
	Codec  string   `json:"codec"` // media type, "video/VP8"
	Clock  uint32   `json:"clock"` // RTP clock rate in Hz
	Chans  uint16   `json:"channels,omitempty"`
	Fmtp   string   `json:"fmtp,omitempty"`   // format parameters as negotiated with the publisher
	Layers []string `json:"layers,omitempty"` // simulcast rids: those that flow, the largest first; empty: one unnamed layer
}

// Publisher is the record of a publishing session.
type Publisher struct {
	FullID   FullID    `json:"full_id"`
	Session  string    `json:"session"`
	Owner    Owner     `json:"owner"`
	Inc      int64     `json:"inc"` // incarnation: of two records of one full id the higher is the newer POST
	State    State     `json:"state"`
	JoinedAt time.Time `json:"joined_at"`
	Tracks   []Track   `json:"tracks"`
}

// Subscriber is the record of a subscribing session.
type Subscriber struct {
	FullID   FullID    `json:"full_id"`
	Session  string    `json:"session"`
	Owner    Owner     `json:"owner"`
	Inc      int64     `json:"inc"`
	JoinedAt time.Time `json:"joined_at"`
}
