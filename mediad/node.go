package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/admission"
	"weever/mediad/internal/drain"
	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fence"
	"weever/mediad/internal/health"
	"weever/mediad/internal/httpapi"
	"weever/mediad/internal/iceservers"
	"weever/mediad/internal/jwtauth"
	"weever/mediad/internal/metrics"
	"weever/mediad/internal/natsconn"
	"weever/mediad/internal/nodecall"
	"weever/mediad/internal/peer"
	"weever/mediad/internal/place"
	"weever/mediad/internal/publicip"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/roster"
	"weever/mediad/internal/session"
	"weever/mediad/internal/supervisor"
	"weever/mediad/internal/talk"
	"weever/mediad/internal/tlsconf"
	"weever/mediad/internal/udpio"
	"weever/mediad/internal/webserver"
	"weever/shared/events"
	"weever/shared/lease"
	"weever/shared/nodes"
	"weever/shared/redisdb"
	"weever/shared/room"
	"weever/shared/store"
	"weever/shared/tokens"
)

// node is one media node. newNode opens its sockets, Run serves until its context ends; the cluster tests run the same object as
// the binary does.
type node struct {
	cfg      Config
	log      *slog.Logger
	instance string

	udp     *udpio.Mux
	writers *fanout.Writers
	public  []webserver.Listener // the public API, under TLS and, in development, in the plain too
	private webserver.Listener
	tls     *tlsconf.Reloader // nil: plain HTTP or self-signed

	redis    *redisdb.DB
	tokens   *tokens.Tokens
	store    *store.Store
	metrics  *metrics.Metrics
	control  *nats.Conn // room events and node calls
	media    *nats.Conn // the relay alone, so that media never delays control
	calls    *nodecall.Calls
	bus      *events.Bus
	relay    *relay.Relay
	roster   *roster.Roster
	talk     *talk.Hub
	jwt      *jwtauth.Checker // nil: tokens are in Redis, or nobody needs one
	ice      *iceservers.List
	sessions *session.Service // set by Run before the gate opens
	drain    *drain.Drain
	fence    *fence.Fence
	place    *place.Place
	announce *nodes.Agent // nil: no Consul; set by Run before the gate opens

	admission *admission.Admission
	readiness *health.Monitor

	awaited atomic.Pointer[string]           // what a start waits for; nil: Redis and NATS
	gate    atomic.Pointer[http.Handler]     // the public handler; nil until the backends were reached
	foreign atomic.Pointer[nodecall.Handler] // answers other nodes for our sessions; nil as long
}

// newNode validates what can only be seen by trying: it opens all sockets, or none and says which failed.
func newNode(cfg Config, log *slog.Logger) (_ *node, err error) {
	n := &node{cfg: cfg, log: log.With("node", cfg.Node.ID), instance: session.NewInstance()}
	n.drain = drain.New(drain.Config{Timeout: cfg.Node.DrainTimeout, Log: n.log})
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if err := n.listen(); err != nil {
		return nil, err
	}
	if n.redis, err = redisdb.Open(cfg.Shared.Redis.Value(), cfg.Shared.Namespace); err != nil {
		return nil, err
	}
	n.tokens, n.store = tokens.New(n.redis, n.log), store.New(n.redis, n.log)
	if n.control, err = n.connect("control"); err != nil {
		return nil, err
	}
	if n.media, err = n.connect("media"); err != nil {
		return nil, err
	}
	if n.calls, err = nodecall.New(n.control, cfg.Shared.Namespace, n.instance, n.log); err != nil {
		return nil, err
	}
	if err = n.calls.Handle(httpapi.VerbSession, n.answerForeign); err != nil {
		return nil, err
	}
	n.metrics = n.newMetrics()
	n.fence = fence.New(fence.Config{Connected: n.onBus, Log: n.log})
	n.writers = fanout.NewWriters(runtime.GOMAXPROCS(0), n.udp.Poll)
	n.relay, err = relay.New(relay.Config{
		Writers: n.writers, Media: n.media, Calls: n.calls, Namespace: cfg.Shared.Namespace, Instance: n.instance, Open: n.fence.Open, Hop: n.metrics.Hop(), Log: n.log,
	})
	if err != nil {
		return nil, err
	}
	if err = n.prepareDoors(); err != nil {
		return nil, err
	}
	n.bus = events.New(n.control, cfg.Shared.Namespace, n.log)
	n.roster = roster.New(roster.Config{Store: n.store, Bus: n.bus, Log: n.log})
	n.talk = talk.New(talk.Config{Bus: n.bus, Instance: n.instance, Log: n.log})
	n.place, err = place.New(place.Config{
		Instance: n.instance, DB: n.redis, Store: n.store, Bus: n.bus, Calls: n.calls, Conn: n.control, Fence: n.fence,
		ResumeWindow: cfg.Node.ResumeWindow, Log: n.log,
	})
	if err != nil {
		return nil, err
	}
	return n, n.prepareReadiness()
}

// connect prepares one of the connections to NATS.
func (n *node) connect(use string) (*nats.Conn, error) {
	cfg := n.cfg.Shared
	urls := make([]string, len(cfg.NATS))
	for i, u := range cfg.NATS {
		urls[i] = u.Value()
	}
	return natsconn.Connect(natsconn.Config{
		URLs: urls, Name: n.cfg.Node.ID + " " + use, Creds: cfg.NATSCreds, CA: cfg.NATSCA, Cert: cfg.NATSCert, Key: cfg.NATSKey, Log: n.log,
	})
}

// onBus reports whether both connections to NATS are there, as far as we know.
func (n *node) onBus() bool { return n.control.IsConnected() && n.media.IsConnected() }

// Run serves until ctx ends. Then it drains: it takes no more sessions and waits until those it has have left, or the drain timeout is
// over. Then it ends the rest — their records are removed and the other nodes told — and closes everything.
func (n *node) Run(ctx context.Context) error {
	defer n.close()
	defer n.drain.Close()
	// What sessions need to end cleanly outlives the front, and that outlives ctx.
	core, stopCore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCore()
	g, gctx := errgroup.WithContext(core)
	front, stopFront := context.WithCancel(gctx) // ends with the drain or with the first failure
	defer stopFront()
	g.Go(func() error {
		select {
		case <-ctx.Done():
			n.drain.End(gctx)
			stopFront()
		case <-gctx.Done():
		}
		return nil
	})

	for _, part := range []func(context.Context) error{
		n.writers.Run, n.roster.Run, n.talk.Run, n.relay.Run, n.calls.Run, n.admission.Run, n.readiness.Run,
	} {
		g.Go(func() error { return quiet(part(gctx)) })
	}
	g.Go(func() error {
		return supervisor.Run(gctx, supervisor.Config{URL: n.PrivateURL() + "/metrics", Token: n.cfg.Private.AdminToken.Value(), Log: n.log})
	})
	if n.jwt != nil {
		g.Go(func() error { return quiet(n.jwt.Run(gctx)) })
	}
	if n.tls != nil {
		g.Go(func() error { return quiet(n.tls.Run(gctx)) })
	}
	g.Go(func() error { return n.serveHTTP(gctx, front) })
	err := n.serveSessions(front, gctx, g)
	stopCore()
	return errors.Join(err, g.Wait())
}

// quiet turns the end of a context, which is no failure here, into nil.
func quiet(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// serveSessions waits for the backends, then takes sessions until ctx ends and the last of them has.
func (n *node) serveSessions(ctx, core context.Context, g *errgroup.Group) error {
	epoch, err := n.place.Epoch(ctx, n.cfg.Node.ID, n.onBus)
	if err != nil {
		return quiet(err)
	}
	publicIPs := n.cfg.Media.PublicIPs
	if n.cfg.Media.PublicIPAuto {
		n.await("the answer to --public-ip auto")
		ip, err := publicip.Discover(ctx, publicip.Config{STUN: n.cfg.Media.STUN})
		if err != nil {
			return fmt.Errorf("--public-ip auto: %w; give the address instead", err)
		}
		n.log.Info("public address found", "ip", ip.String())
		publicIPs = append(publicIPs, ip)
	}
	loopback := n.cfg.Media.LoopbackOnly || len(n.cfg.Media.Interfaces) > 0 && n.udp.Addrs()[0].Addr().IsLoopback()
	peers, err := peer.New(peer.Config{
		UDPMux: n.udp, Writers: n.writers, PublicIPs: publicIPs, Loopback: loopback, ResumeWindow: n.cfg.Node.ResumeWindow, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.sessions = session.New(session.Config{
		Owner: room.Owner{Node: n.cfg.Node.ID, Instance: n.instance, Epoch: epoch},
		Store: n.store, Roster: n.roster, Relay: n.relay, Writers: n.writers, Peers: peers, Talk: n.talk,
		ResumeWindow: n.cfg.Node.ResumeWindow, MaxSessions: n.cfg.Node.MaxSessions, MaxPerClient: n.cfg.Public.SessionsPerIP,
		Admit: n.admission.Admit, Pubs: n.metrics.Publishers(), Subs: n.metrics.Viewers(), Log: n.log,
	})
	n.await("the lease of this node in Redis")
	leave, err := n.place.Join(ctx, lease.Record{
		Node: n.cfg.Node.ID, Instance: n.instance, Epoch: epoch, URL: n.advertisedURL(), Region: n.cfg.Node.Region, Version: version,
	}, n.sessions)
	if err != nil {
		return quiet(err)
	}
	defer leave()
	g.Go(func() error { return quiet(n.tokens.WatchKicks(core, n.sessions.Kick)) })
	maintain, err := n.register(epoch)
	if err != nil {
		return err
	}
	n.drain.Serve(ctx, n.sessions, maintain)
	api := n.publicConfig()
	foreign, public := nodecall.Handler(httpapi.Foreign(api)), httpapi.New(api)
	n.foreign.Store(&foreign)
	n.gate.Store(&public)
	if n.announce != nil {
		var announced errgroup.Group
		announced.Go(func() error { return quiet(n.announce.Run(ctx)) })
		defer func() { _ = announced.Wait() }()
	}
	n.log.Info("serving", "url", n.PublicURL(), "udp", n.udp.Port(), "epoch", epoch)
	return quiet(n.sessions.Run(ctx))
}

// register prepares the registration with Consul, if there is to be one. It gives how Consul hears of a drain; nil when it does not.
func (n *node) register(epoch int64) (maintain func(context.Context, bool) error, err error) {
	if n.cfg.Shared.Consul == "" {
		return nil, nil
	}
	n.announce, err = nodes.New(nodes.Config{
		Addr: n.cfg.Shared.Consul, NodeID: n.cfg.Node.ID, Service: "weever-mediad",
		Host: n.cfg.Node.AdvertiseHost, Port: n.advertisedPort(),
		Meta: map[string]string{
			"epoch": strconv.FormatInt(epoch, 10), "version": version, "region": n.cfg.Node.Region, "udp_port": strconv.Itoa(n.udp.Port()),
		},
		HealthURL: n.healthURL(), DeregisterAfter: 2*n.cfg.Node.DrainTimeout + time.Minute, Log: n.log,
	})
	return func(ctx context.Context, draining bool) error { return n.announce.Maintenance(ctx, draining, "drain") }, err
}

// healthURL is where Consul asks how the node is. The agent may be on another machine: a private API that listens everywhere is found where the
// node says that it is.
func (n *node) healthURL() string {
	at := addrOf(n.private)
	if at.Addr().Unmap().IsUnspecified() {
		return "http://" + net.JoinHostPort(n.cfg.Node.AdvertiseHost, strconv.Itoa(int(at.Port()))) + "/readiness"
	}
	return n.PrivateURL() + "/readiness"
}

// close ends what newNode opened, as far as it got. HTTP listeners are closed by their servers, too; twice does no harm.
func (n *node) close() {
	for _, l := range n.public {
		_ = l.Close()
	}
	if n.private.Listener != nil {
		_ = n.private.Close()
	}
	for _, c := range []*nats.Conn{n.media, n.control} {
		if c != nil {
			c.Close()
		}
	}
	if n.redis != nil {
		_ = n.redis.Close()
	}
	if n.udp != nil {
		_ = n.udp.Close()
	}
}
