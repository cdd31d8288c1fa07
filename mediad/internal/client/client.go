// Package client speaks to a node as a browser would: publishes and subscribes.
//
// Publish and Subscribe open a session with one POST and return when media can flow. It then lives until Close, Stop, Hangup or
// Abandon, or until the other side ends it; when its Done channel is closed, everything it started has stopped. The load
// generator and the cluster tests are the callers.
//
// What is below: link is one session (HTTP by whip, sockets by wire, the control channel's memory in journal), synth makes the
// packets of a publisher, arrival counts those of a subscriber.
package client

import (
	"weever/mediad/internal/client/arrival"
	"weever/mediad/internal/client/link"
	"weever/mediad/internal/client/whip"
)

// Names of the packages below that callers need.
type (
	// Config says where and how to open a session.
	Config = link.Config
	// Session is what publishers and subscribers share.
	Session = link.Session
	// StatusError is an HTTP answer that is not the one hoped for.
	StatusError = whip.StatusError
	// Reply is the answer to a PATCH.
	Reply = whip.Reply
	// TrackStats says what has come of one track.
	TrackStats = arrival.Stats
	// SectionInfo says what the server makes of one m-section.
	SectionInfo = arrival.SectionInfo
)

// The errors a session ends with, as Err gives them.
var (
	ErrClosed      = link.ErrClosed      // by its owner
	ErrRemote      = link.ErrRemote      // by the server, in an orderly way
	ErrLost        = link.ErrLost        // nothing arrived for too long
	ErrUnsupported = link.ErrUnsupported // there is no control channel
)
