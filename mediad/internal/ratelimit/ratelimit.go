// Package ratelimit bounds how many requests a client address, and all of them together, may make.
//
// The public HTTP handler asks it before it looks at a request. It owns no goroutine and forgets addresses by itself.
package ratelimit

import (
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// remembered is how many client addresses are kept; who is forgotten starts anew. The node's own rate holds all the same, and this
// bounds what a flood from many addresses can make us keep to some megabytes.
const remembered = 1 << 15

// Rate is so many requests in a period, all of them at once if the client likes; Count 0 is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

func (r Rate) limiter() *rate.Limiter {
	if r.Count == 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(float64(r.Count)/r.Per.Seconds()), r.Count)
}

// Limiter counts requests. It is safe for concurrent use.
type Limiter struct {
	perClient Rate
	node      *rate.Limiter

	mu      sync.Mutex // guards what follows: looking an address up and adding it is one step
	clients *lru.Cache[netip.Addr, *rate.Limiter]
}

// New makes a Limiter of one rate for each client address and one for all together.
func New(perClient, perNode Rate) *Limiter {
	clients, _ := lru.New[netip.Addr, *rate.Limiter](remembered) // fails for sizes below one alone
	return &Limiter{perClient: perClient, node: perNode.limiter(), clients: clients}
}

// Allow counts one request of a client. It is 0 when the request may pass, else how long the client should wait; a refused request
// does not count. An address that is not valid is held to the node's rate alone.
func (l *Limiter) Allow(client netip.Addr, now time.Time) (wait time.Duration) {
	node, wait := take(l.node, now)
	if wait > 0 {
		return wait
	}
	if client.IsValid() && l.perClient.Count > 0 {
		if _, wait = take(l.client(client), now); wait > 0 {
			node.CancelAt(now)
		}
	}
	return wait
}

func (l *Limiter) client(addr netip.Addr) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	lim, ok := l.clients.Get(addr)
	if !ok {
		lim = l.perClient.limiter()
		l.clients.Add(addr, lim)
	}
	return lim
}

// take counts a request, unless it has to wait.
func take(lim *rate.Limiter, now time.Time) (*rate.Reservation, time.Duration) {
	r := lim.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return r, wait
}
