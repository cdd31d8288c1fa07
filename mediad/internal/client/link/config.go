// Package link opens, keeps and ends one session with a server: an HTTP resource, a PeerConnection and a control channel.
//
// It does not know what flows. Publishers and subscribers of package client are built on it.
package link

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/pion/rtp"
)

// Config says where and how to open a session. URL, Room and ID, or else Endpoint, are required.
type Config struct {
	URL  string // of the node or balancer, "https://host:8443"; a path in it stays in front
	Room string
	ID   string // full id, "alice" or "alice+tab2"

	Endpoint string     // where to POST instead: any WHIP or WHEP server
	Query    url.Values // of the POST: sub=manual, pub=alice
	Token    string     // bearer token; none when empty

	// Exchange brings the answer to an offer, in place of a POST to the endpoint; nil: POST. The HTTP resource is then its owner's
	// affair: Patch, ICERestart and the DELETE of Close do not know it. See Restart.
	Exchange func(ctx context.Context, offer string) (answer string, err error)

	// Arrived is told of each RTP packet with a payload that comes to a subscriber: of whose track, and when. The packet is borrowed
	// until it returns. It is called by several goroutines and must not block; nil: nobody is.
	Arrived func(pub, track string, p *rtp.Packet, at time.Time)

	HTTP         *http.Client // http.DefaultClient when nil; it should have a timeout
	LoopbackOnly bool         // gather IPv4 loopback candidates alone; without it, all addresses, loopback among them
	TCP          bool         // ICE over TCP alone: the node must offer passive candidates
	Trickle      bool         // POST without candidates and PATCH them afterwards
	NoControl    bool         // no data channel: plain WHIP or WHEP
	NoWait       bool         // return as soon as the answer is applied, before anything is connected
}

// The errors a session ends with. Err returns one of them, or what went wrong otherwise.
var (
	// ErrClosed says that the caller ended the session.
	ErrClosed = errors.New("session closed by its owner")
	// ErrRemote says that the other side ended it in an orderly way.
	ErrRemote = errors.New("session closed by the server")
	// ErrLost says that the connection failed: nothing arrived for too long.
	ErrLost = errors.New("connection lost")
	// ErrUnsupported says that the session has no control channel.
	ErrUnsupported = errors.New("session has no control channel")
)

// endpoint gives the URL to POST to. role is "pub" or "sub".
func (c *Config) endpoint(role string) (string, error) {
	target := c.Endpoint
	if target == "" {
		if c.URL == "" || c.Room == "" || c.ID == "" {
			return "", errors.New("client: URL, Room and ID are required, or Endpoint")
		}
		var err error
		if target, err = url.JoinPath(c.URL, role, c.Room, c.ID); err != nil {
			return "", fmt.Errorf("client: URL: %w", err)
		}
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", fmt.Errorf("client: URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("client: URL must begin with http:// or https:// and a host")
	}
	if len(c.Query) > 0 {
		q := u.Query()
		for key, values := range c.Query {
			q[key] = values
		}
		u.RawQuery = q.Encode()
	}
	return u.String(), nil
}
