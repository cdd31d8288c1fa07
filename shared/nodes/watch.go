package nodes

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

// This file reads from Consul who is announced, for the log. The Agent runs it. What comes from there anybody may have
// written who can register a service: it is bounded here and decides nothing.

const (
	waitTime  = 30 * time.Second       // how long Consul may hold a query back while nothing changes
	waitSlack = 10 * time.Second       // and what it may take beyond
	pace      = 500 * time.Millisecond // between two queries, where much changes
	maxPeers  = 1024
	maxField  = 256 // bytes
	maxNews   = 32  // lines of log about one reply
)

// Status is what Consul's checks say of a node.
type Status string

// The states. A balancer sends new sessions to those that pass.
const (
	Passing     Status = api.HealthPassing
	Warning     Status = api.HealthWarning
	Critical    Status = api.HealthCritical
	Maintenance Status = api.HealthMaint
)

// Peer is a node as it is announced. All of it but Status is what the node said of itself.
type Peer struct {
	ID      string
	Addr    string // host:port of its public API
	Region  string // may be empty
	Version string
	Epoch   int64 // of its start; 0: it told none
	Status  Status
}

// watch follows who is announced, while run runs.
type watch struct {
	client        *api.Client
	service       string
	self, version string
	log           *slog.Logger
	list          atomic.Pointer[[]Peer]
	index         uint64 // of the last reply; owned by run
}

func newWatch(client *api.Client, c Config) *watch {
	return &watch{client: client, service: c.Service, self: c.NodeID, version: c.Meta["version"], log: c.Log}
}

func (w *watch) peers() []Peer {
	if list := w.list.Load(); list != nil {
		return *list
	}
	return nil
}

// run asks until ctx ends.
func (w *watch) run(ctx context.Context) {
	retry, away := firstRetry, false
	for {
		wait := jitter(pace)
		switch err := w.look(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !away {
				w.log.Warn("Consul does not say who is there; the last list holds", "nodes", len(w.peers()), "err", err)
			}
			away, wait, retry = true, jitter(retry), min(2*retry, lastRetry)
		default:
			away, retry = false, firstRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// look asks once; Consul answers when there is something new, or after a while. Any server may answer: the newest is not needed.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, waitTime+waitSlack)
	defer cancel()
	q := &api.QueryOptions{WaitIndex: w.index, WaitTime: waitTime, AllowStale: true}
	entries, meta, err := w.client.Health().Service(w.service, "", false, q.WithContext(ctx))
	if err != nil {
		w.index = 0 // whoever answers next may be another, and is asked for all at once
		return err
	}
	if w.index = meta.LastIndex; meta.LastIndex < q.WaitIndex { // an index that went back means nothing
		w.index = 0
	}
	now := peersOf(entries)
	w.tell(w.peers(), now)
	w.list.Store(&now)
	return nil
}

// peersOf reads a reply. What is not understood is left out.
func peersOf(entries []*api.ServiceEntry) []Peer {
	list := make([]Peer, 0, min(len(entries), maxPeers))
	for _, e := range entries {
		if p, ok := peerOf(e); ok && len(list) < maxPeers {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Peer) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(b.Epoch, a.Epoch)) })
	// One id may be at two agents, after it moved: the newer holds.
	return slices.CompactFunc(list, func(a, b Peer) bool { return a.ID == b.ID })
}

func peerOf(e *api.ServiceEntry) (p Peer, ok bool) {
	if e == nil || e.Service == nil {
		return p, false
	}
	host := e.Service.Address
	if host == "" && e.Node != nil {
		host = e.Node.Address
	}
	p = Peer{
		ID: e.Service.ID, Addr: net.JoinHostPort(host, strconv.Itoa(e.Service.Port)),
		Region: e.Service.Meta["region"], Version: e.Service.Meta["version"], Status: Critical,
	}
	for _, field := range []string{p.ID, p.Addr, p.Region, p.Version} {
		if len(field) > maxField {
			return p, false
		}
	}
	if n, err := strconv.ParseInt(e.Service.Meta["epoch"], 10, 64); err == nil {
		p.Epoch = max(n, 0)
	}
	for _, check := range e.Checks {
		if check == nil {
			return p, false
		}
	}
	switch s := Status(e.Checks.AggregatedStatus()); s {
	case Passing, Warning, Maintenance:
		p.Status = s
	}
	return p, p.ID != ""
}

// tell logs what is new of the others. Both lists are in order of ids.
func (w *watch) tell(was, now []Peer) {
	lines := 0
	say := func(p Peer, what string) {
		if lines++; lines <= maxNews {
			w.log.Info("news of another node", "other", p.ID, "what", what,
				"addr", p.Addr, "region", p.Region, "version", p.Version, "status", string(p.Status))
		}
	}
	for _, p := range was {
		if _, there := find(now, p.ID); !there && p.ID != w.self {
			say(p, "gone")
		}
	}
	for _, p := range now {
		old, known := find(was, p.ID)
		switch {
		case p.ID == w.self, known && old.Epoch == p.Epoch && old.Version == p.Version:
			continue
		case known:
			say(p, "started anew")
		default:
			say(p, "come")
		}
		if p.Version != w.version {
			say(p, "it speaks another version")
		}
	}
	if lines > maxNews {
		w.log.Info("there is more news of other nodes", "lines", lines-maxNews)
	}
}

func find(list []Peer, id string) (Peer, bool) {
	i, found := slices.BinarySearchFunc(list, id, func(p Peer, id string) int { return cmp.Compare(p.ID, id) })
	if !found {
		return Peer{}, false
	}
	return list[i], true
}
