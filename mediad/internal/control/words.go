// Package control encodes and parses the words of the control channel.
//
// The control channel is a data channel labelled "control" between a node and a client: text, one message each. A message is a
// word and, after one space, its arguments. The flow, with a subscriber on the left and the node on the right:
//
//	                       channel opens
//	      <── PUB_JOIN alice+1               one per publisher already live
//	      <── TRACKS alice+1 [{"id":…}]      what she sends
//	      <── SDP_OFFER v=0…                 when sections change; one round at a time,
//	SDP_ANSWER v=0… ──>                      to be answered within 10 s
//	SUB, UNSUB, SUB_MODE, LAYER ──>          what to receive
//	      <── OK                             to any message that has no answer of its own
//	      <── ERR LAYER unknown level        to a message that could not be obeyed
//	SAY {"text":"hi"} ──>
//	      <── SAID bob {"text":"hi"}         to the other subscribers of the room
//	PING 17 ──>
//	      <── PONG 17
//	      <── PUB_AWAY alice+1               silent for a while; her sections wait
//	      <── PUB_LEFT alice+1               gone; the next SDP_OFFER parks her sections
//	      <── SPEAKERS […], STATS {…}
//	      <── RECONNECT drain 300            move to another node within so many seconds
//	STOP ──>                                 close now
//
// A publisher may open the channel too. There SDP_OFFER goes from the client to the node and SDP_ANSWER comes back; STOP, PING
// and RECONNECT are as above.
//
// Old clients know SDP_OFFER, SDP_ANSWER, PUB_JOIN, PUB_LEFT, STOP and OK, and ignore the rest. A node treats a word that it
// does not know likewise: it is Unknown, never an error.
//
// The package knows bytes only. Sessions and clients call it; nothing in it lives longer than a call.
package control

import (
	"encoding/json"

	"weever/shared/room"
)

// Label is the label of the data channel.
const Label = "control"

// Limits, in bytes unless said otherwise. Parse refuses what is above, and so does Encode.
const (
	MaxMessage   = 256 << 10 // a whole message: what Chromium takes on a data channel
	MaxSay       = 16 << 10  // the JSON of SAY and SAID
	MaxPing      = 256       // the text of PING and PONG
	MaxReason    = 512       // the reason of ERR
	MaxTracks    = 64        // tracks named by one SUB or UNSUB, or told by one TRACKS
	MaxReconnect = 86400     // seconds of RECONNECT
)

// Word is the first word of a message.
type Word string

// Every word there is.
const (
	WordSDPOffer  Word = "SDP_OFFER"  // node → subscriber, publisher → node
	WordSDPAnswer Word = "SDP_ANSWER" // subscriber → node, node → publisher
	WordPubJoin   Word = "PUB_JOIN"   // node → client, as all down to PONG
	WordPubLeft   Word = "PUB_LEFT"
	WordPubAway   Word = "PUB_AWAY"
	WordTracks    Word = "TRACKS"
	WordSpeakers  Word = "SPEAKERS"
	WordStats     Word = "STATS"
	WordSaid      Word = "SAID"
	WordReconnect Word = "RECONNECT"
	WordErr       Word = "ERR"
	WordOK        Word = "OK"
	WordPong      Word = "PONG"
	WordStop      Word = "STOP" // client → node, as all below
	WordSub       Word = "SUB"
	WordUnsub     Word = "UNSUB"
	WordSubMode   Word = "SUB_MODE"
	WordLayer     Word = "LAYER"
	WordSay       Word = "SAY"
	WordPing      Word = "PING"
)

// wordMessage stands in an Error for a message that is wrong as a whole.
const wordMessage Word = "MESSAGE"

// Message is one of the types below. Parse returns them and Encode takes them, by value.
type Message interface {
	// args appends the arguments of the message, each preceded by a space, or says what is wrong with them.
	args(b []byte) ([]byte, error)
	word() Word
}

// SDPOffer asks for a negotiation round.
type SDPOffer struct{ SDP string }

// SDPAnswer ends a negotiation round.
type SDPAnswer struct{ SDP string }

// PubJoin says that a publisher is live. It precedes her tracks.
type PubJoin struct{ Pub room.FullID }

// PubLeft says that a publisher is gone. It precedes the offer that parks her sections.
type PubLeft struct{ Pub room.FullID }

// PubAway says that a publisher is silent and may come back into the same sections. PubJoin or PubLeft follows.
type PubAway struct{ Pub room.FullID }

// Tracks says what a publisher sends; it replaces what was said before.
type Tracks struct {
	Pub    room.FullID
	Tracks []Track
}

// Track is one entry of Tracks.
type Track struct {
	ID     string   `json:"id"`               // "video0", "audio0", …: the track id of its msid
	Kind   string   `json:"kind"`             // "audio" or "video"
	Codec  string   `json:"codec"`            // media type, "video/VP8"
	Layers []string `json:"layers,omitempty"` // what LAYER may ask for, best first; empty: one layer only
	Muted  bool     `json:"muted,omitempty"`  // nothing is sent at the moment
}

// Speakers lists who is heard, loudest first.
type Speakers struct{ Speakers []Speaker }

// Speaker is one entry of Speakers.
type Speaker struct {
	Pub   room.FullID `json:"id"`
	Level uint8       `json:"level"` // in -dBov: 0 is loudest, 127 silence (RFC 6464 section 3)
}

// Stats is a JSON value about the session, for people and diagrams.
type Stats struct{ JSON json.RawMessage }

// Said carries what another subscriber said with Say.
type Said struct {
	From room.FullID
	JSON json.RawMessage
}

// Reconnect asks the client to open a new session through the balancer and to close this one when the new one plays.
type Reconnect struct {
	Reason  string // one word of a–z 0–9 _ -, at most 32 characters: "drain", …
	Seconds int    // the session ends after so many
}

// Err says why a message could not be obeyed.
type Err struct {
	Word   Word   // of the message
	Reason string // one line for a person
}

// OK says that a message was received.
type OK struct{}

// Pong repeats the text of a Ping.
type Pong struct{ Text string }

// Stop closes the session now.
type Stop struct{}

// Sub asks for a publisher, or for some of her tracks when any are named. It is remembered until she leaves.
type Sub struct {
	Pub    room.FullID
	Tracks []string
}

// Unsub drops a publisher, or some of her tracks when any are named. It is remembered until she leaves.
type Unsub struct {
	Pub    room.FullID
	Tracks []string
}

// SubMode says whether publishers nobody spoke of are received.
type SubMode struct{ Mode Mode }

// Mode is the argument of SubMode.
type Mode string

// The modes.
const (
	ModeAuto   Mode = "auto"   // everybody, but for those named by Unsub
	ModeManual Mode = "manual" // nobody, but for those named by Sub
)

// Layer chooses the quality of one track.
type Layer struct {
	Pub   room.FullID
	Track string
	Level Level
}

// Level is the last argument of Layer.
type Level string

// The levels.
const (
	LevelHigh Level = "high"
	LevelMid  Level = "mid"
	LevelLow  Level = "low"
	LevelOff  Level = "off"  // nothing is sent, the section stays
	LevelAuto Level = "auto" // as the network allows
)

// Say sends a JSON value of at most MaxSay bytes to the other subscribers of the room.
type Say struct{ JSON json.RawMessage }

// Ping asks for a Pong with the same text, at most MaxPing bytes.
type Ping struct{ Text string }

// Unknown is a message that the listening side does not know. A node answers OK, a client ignores it.
type Unknown struct{ Text string }

func (SDPOffer) word() Word   { return WordSDPOffer }
func (SDPAnswer) word() Word  { return WordSDPAnswer }
func (PubJoin) word() Word    { return WordPubJoin }
func (PubLeft) word() Word    { return WordPubLeft }
func (PubAway) word() Word    { return WordPubAway }
func (Tracks) word() Word     { return WordTracks }
func (Speakers) word() Word   { return WordSpeakers }
func (Stats) word() Word      { return WordStats }
func (Said) word() Word       { return WordSaid }
func (Reconnect) word() Word  { return WordReconnect }
func (Err) word() Word        { return WordErr }
func (OK) word() Word         { return WordOK }
func (Pong) word() Word       { return WordPong }
func (Stop) word() Word       { return WordStop }
func (Sub) word() Word        { return WordSub }
func (Unsub) word() Word      { return WordUnsub }
func (SubMode) word() Word    { return WordSubMode }
func (Layer) word() Word      { return WordLayer }
func (Say) word() Word        { return WordSay }
func (Ping) word() Word       { return WordPing }
func (Unknown) word() Word    { return "" }
func (m Prepared) word() Word { return m.of }
