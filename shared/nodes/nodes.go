// Package nodes announces this node in Consul, so that balancers find it, and reads there who else is announced.
//
// It is the only importer of Consul's client. Consul is a convenience here: who lives and who owns what is decided in Redis and on
// the bus, so a node runs on without Consul and is announced again when that is back. What is read is for people to look at.
package nodes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	checkInterval = 2 * time.Second // how often Consul asks for the node's readiness
	checkTimeout  = time.Second     // how long an answer to that may take
	watchInterval = 3 * time.Second // how often the node asks whether Consul still knows it
	callTimeout   = 3 * time.Second // of one request to Consul, and of the farewell
	firstRetry    = 250 * time.Millisecond
	lastRetry     = 5 * time.Second
	firmly        = 2 // answers in a row that it takes to change Up

	// Consul's own lower bound for DeregisterCriticalServiceAfter.
	minDeregisterAfter = time.Minute

	maxReply = 8 << 20 // bytes; Consul has some 6 KB for an instance of a service
)

// Config says what is announced, and where.
type Config struct {
	// Addr is where the Consul agent listens: "host:port", "http://…", "https://…" or "unix:///…"; empty is what
	// CONSUL_HTTP_ADDR says, else localhost:8500. The other CONSUL_HTTP_ variables (token, TLS) are honoured too.
	Addr string

	NodeID  string            // also the id of the service, unique in the datacenter
	Service string            // "weever-mediad"
	Host    string            // name or address that balancers and other nodes reach
	Port    uint16            // of the public API there
	Tags    []string          // may be empty
	Meta    map[string]string // "epoch", "version", "region", "udp_port"; at most 64 pairs, keys of A-Z a-z 0-9 _ -

	// HealthURL is what the agent asks every two seconds; 2xx means that the node takes sessions.
	HealthURL string

	// DeregisterAfter is how long the health check may fail before Consul drops the service by itself. It must be longer
	// than a drain, during which the check fails on purpose, and is one minute at least.
	DeregisterAfter time.Duration

	Log *slog.Logger // nil: silence
}

// validate returns all faults at once.
func (c Config) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("nodes: "+format, args...)) }
	for name, v := range map[string]string{"NodeID": c.NodeID, "Service": c.Service, "Host": c.Host} {
		if v == "" {
			fault("%s is empty", name)
		}
	}
	if c.Port == 0 {
		fault("Port is 0")
	}
	if u, err := url.Parse(c.HealthURL); err != nil || u.Host == "" {
		fault("HealthURL %q is not a URL", c.HealthURL)
	}
	if c.DeregisterAfter < minDeregisterAfter {
		fault("DeregisterAfter is %v, must be %v or more", c.DeregisterAfter, minDeregisterAfter)
	}
	return errors.Join(faults...)
}

// Agent keeps one node announced. It is made by New, owned by main, and works while Run runs.
type Agent struct {
	// Fixed.
	client       *api.Client
	registration *api.AgentServiceRegistration
	log          *slog.Logger
	watch        *watch

	up atomic.Bool

	// turn holds one value: whoever takes it may talk to Consul and use the fields below. A channel and not a mutex, so that a
	// caller gives up when its context ends.
	turn      chan struct{}
	announced bool   // Consul was told since the start, or since it forgot
	draining  bool   // maintenance is wanted
	reason    string // of the maintenance
	contrary  int    // calls in a row that ended other than up says
	known     bool   // up was true once
}

// New prepares the agent; it sends nothing.
func New(c Config) (*Agent, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	client, err := dial(c.Addr)
	if err != nil {
		return nil, err
	}
	a := &Agent{client: client, log: c.Log, turn: make(chan struct{}, 1), watch: newWatch(client, c), registration: &api.AgentServiceRegistration{
		ID: c.NodeID, Name: c.Service, Address: c.Host, Port: int(c.Port), Tags: slices.Clone(c.Tags), Meta: maps.Clone(c.Meta),
		Check: &api.AgentServiceCheck{
			CheckID: c.NodeID + "-readiness", Name: "readiness", HTTP: c.HealthURL,
			Interval: checkInterval.String(), Timeout: checkTimeout.String(), Status: api.HealthCritical,
			DeregisterCriticalServiceAfter: c.DeregisterAfter.String(),
		},
	}}
	a.turn <- struct{}{}
	return a, nil
}

// dial makes a client; it sends nothing.
func dial(addr string) (*api.Client, error) {
	conf := api.DefaultNonPooledConfig() // a request every few seconds is not worth a connection kept open
	if addr != "" {
		conf.Address = addr
	}
	client, err := api.NewClient(conf) // it has put its HTTP client into conf
	if err != nil {
		return nil, fmt.Errorf("nodes: Consul's address or CONSUL_HTTP_ settings cannot be used: %w", err)
	}
	conf.HttpClient.Transport = bounded{conf.HttpClient.Transport}
	return client, nil
}

// bounded is a transport whose replies end with an error where they are too long.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxReply)
	}
	return resp, err
}

// Up reports whether Consul does what it is asked for. It takes two answers in a row to change that, but for the first good one ever.
// Run asks every few seconds, so after an outage it takes as long until it is known. False before Run.
func (a *Agent) Up() bool { return a.up.Load() }

// Peers is who is announced in Consul under the same service name, this node included, by id: as Consul last said, which may be long ago
// when it is away; nil before it has. At most 1024. The slice is shared and must not be changed.
func (a *Agent) Peers() []Peer { return a.watch.peers() }

// Run announces the node, announces it again whenever Consul has forgotten it, and takes it back when ctx ends: it then returns
// nil, after three seconds at the latest. Beside that it follows who else is there. Consul being away is logged once and retried for
// ever; it is never an error.
func (a *Agent) Run(ctx context.Context) error {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { a.watch.run(ctx) })
	retry := firstRetry
	away := false
	for {
		wait := watchInterval
		switch err := a.converge(ctx); {
		case ctx.Err() != nil:
		case err != nil:
			if !away {
				a.log.Warn("Consul is away or refuses; trying again", "err", err)
			}
			away = true
			wait = jitter(retry)
			retry = min(2*retry, lastRetry)
		default:
			if away {
				a.log.Info("Consul is back")
			}
			away, retry = false, firstRetry
			if !a.Up() { // one more answer is needed
				wait = firstRetry
			}
		}
		select {
		case <-ctx.Done():
			a.farewell(ctx)
			return nil
		case <-time.After(wait):
		}
	}
}

// jitter is between half of d and d: nodes that lost one agent together do not come back together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// Maintenance takes the node out of the balancers' lists (on) or puts it back; reason is for the people who look at Consul. It
// waits for Consul's answer. When that fails the wish is remembered and Run carries it out as soon as it can. While
// maintenance is on a node that Consul forgets is not announced again.
func (a *Agent) Maintenance(ctx context.Context, on bool, reason string) error {
	if err := a.take(ctx); err != nil {
		return err
	}
	defer a.give()
	a.draining, a.reason = on, reason
	if !on {
		a.announced = false // also lifts the maintenance
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := a.tell(ctx); err != nil {
		return fmt.Errorf("nodes: set maintenance: %w", err)
	}
	return nil
}

// converge makes Consul know what it should.
func (a *Agent) converge(ctx context.Context) error {
	if err := a.take(ctx); err != nil {
		return err
	}
	defer a.give()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return a.tell(ctx)
}

// tell is converge for who has the turn.
func (a *Agent) tell(ctx context.Context) (err error) {
	defer func() { a.saw(err) }()
	id, q := a.registration.ID, new(api.QueryOptions).WithContext(ctx)
	if a.draining {
		err := a.client.Agent().EnableServiceMaintenanceOpts(id, a.reason, q)
		if unknown(err) {
			return nil // forgotten is as good
		}
		return err
	}
	if a.announced {
		_, _, err := a.client.Agent().Service(id, q)
		if err == nil || !unknown(err) {
			return err
		}
		a.announced = false
		a.log.Warn("Consul has forgotten this node; announcing it again")
	}
	opts := api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx)
	if err := a.client.Agent().ServiceRegisterOpts(a.registration, opts); err != nil {
		return err
	}
	// A process of the same id that was killed while it drained has left its maintenance behind.
	if err := a.client.Agent().DisableServiceMaintenanceOpts(id, q); err != nil {
		return err
	}
	a.announced = true
	a.log.Info("announced in Consul", "node", id, "addr", a.registration.Address+":"+strconv.Itoa(a.registration.Port))
	return nil
}

// saw takes in how a request ended, for who has the turn.
func (a *Agent) saw(err error) {
	up := err == nil
	if up == a.Up() {
		a.contrary = 0
		return
	}
	if a.contrary++; a.contrary >= firmly || up && !a.known {
		a.up.Store(up)
		a.contrary, a.known = 0, a.known || up
	}
}

// farewell takes the node back. ctx has ended; only its values are used.
func (a *Agent) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := a.take(ctx); err != nil {
		return
	}
	defer a.give()
	a.draining = true // whatever comes later must not announce it again
	err := a.client.Agent().ServiceDeregisterOpts(a.registration.ID, new(api.QueryOptions).WithContext(ctx))
	if err != nil && !unknown(err) {
		a.log.Warn("Consul was not told that this node ends; its health check will", "err", err)
	}
}

func (a *Agent) take(ctx context.Context) error {
	select {
	case <-a.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("nodes: another request to Consul is under way: %w", ctx.Err())
	}
}

func (a *Agent) give() { a.turn <- struct{}{} }

// unknown reports whether Consul answered that it has no such service.
func unknown(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}
