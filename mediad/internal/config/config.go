// Package config turns the command line and the environment into a configuration that is valid as a whole.
//
// Only main imports it: no other package reads flags or variables, each gets its own Config from main. The tables of flags in the
// README are made from here and tested against it.
package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"weever/mediad/internal/flagval"
	"weever/mediad/internal/ratelimit"
	"weever/shared/room"
)

// ErrUsage is wrapped by every error of Parse: the command line or the environment is at fault, exit with ExitUsage.
var ErrUsage = errors.New("the configuration cannot be used")

// ExitUsage is the exit code after ErrUsage.
const ExitUsage = 2

// Command is what was asked for.
type Command string

// The commands. CmdNone means that Parse has already done it: the help is printed.
const (
	CmdNone    Command = ""
	CmdServe   Command = "serve"
	CmdLoad    Command = "load"
	CmdCheck   Command = "check"
	CmdVersion Command = "version"
)

// CLI is a valid command line: a command and, of the three, the configuration that it needs.
type CLI struct {
	Command Command
	Serve   Config
	Load    Load
	Check   Check
}

// Config is the configuration of a node, valid as a whole. Parse makes it; tests may write their own. The README's table says what
// each flag does; the comments here say what is not in the type.
type Config struct {
	// Dev: everything in one process, with its own Redis and NATS. The fields below already follow from it where they were not given.
	Dev bool

	Public  Public
	Private Private
	Shared  Shared
	Node    Node
	Media   Media
	Auth    Auth

	LogLevel slog.Level
	LogJSON  bool // JSON lines, else text

	// Warnings are sentences for the log: allowed, but perhaps not meant.
	Warnings []string
}

// Public is about the public HTTP API.
type Public struct {
	Host      netip.Addr // unspecified: all addresses
	Port      uint16     // 0: any free one
	PlainHTTP bool       // no TLS on Port

	// The files of the certificate; both empty with PlainHTTP, and with Dev for a self-signed one.
	CertFile, KeyFile string

	// PlainAddr is where Dev serves the same API again without TLS, on loopback; the zero value is nowhere.
	PlainAddr netip.AddrPort

	CORSDomains    []string // lower case, or "*"
	TrustedProxies []netip.Prefix
	RatePerIP      ratelimit.Rate
	RatePerNode    ratelimit.Rate
	SessionsPerIP  int // 0: no limit
	StrictETags    bool
	Site           bool
}

// Private is about the private HTTP API.
type Private struct {
	Host       netip.Addr
	Port       uint16         // 0: any free one
	AdminToken flagval.Secret // zero: nobody is asked; then Host is loopback
}

// Shared says where the services are that the nodes share.
type Shared struct {
	Redis     flagval.Secret   // URL for redisdb.Open; zero with Dev: embedded
	NATS      []flagval.Secret // URLs; empty with Dev: embedded
	NATSCreds string           // file; empty: none
	NATSCA    string           // file; empty: the system's authorities

	// Files of the client certificate for NATS: both or none.
	NATSCert, NATSKey string

	Consul    string // for nodes.Config.Addr; empty: do not register
	Namespace string // passes room.ParseName
}

// Node is about this process as one of many.
type Node struct {
	ID            string // passes room.ParseName
	Region        string // passes room.ParseName, or empty
	AdvertiseHost string // name or address; never empty
	AdvertisePort uint16 // 0: the port in use
	MaxSessions   int    // 0: no limit
	MaxEgressMbps int    // 0: no limit
	MaxCPU        int    // percent of all cores; 0: no limit
	DrainTimeout  time.Duration
	ResumeWindow  time.Duration
}

// Media is about the sockets of media and what clients are told of them.
type Media struct {
	UDPPort uint16 // 0: any free one
	TCPPort uint16 // 0: off

	PublicIPs    []netip.Addr
	PublicIPAuto bool   // ask the cloud, then STUN
	STUN         string // stun: URI, empty: none

	// LoopbackOnly: the sockets of media listen on loopback, whose addresses are the candidates (Dev without a host).
	LoopbackOnly bool
	// Interfaces are patterns for path.Match; empty: all but loopback. Loopback takes part only when a pattern names it.
	Interfaces []string

	ICEServers []string       // stun:, turn: and turns: URIs
	TURNSecret flagval.Secret // zero: turn: servers are told without credentials
	TURNKey    string         // base64, unpadded or hex: how credentials are written
}

// Auth says who may publish and subscribe.
type Auth struct {
	On        bool
	JWTSecret flagval.Secret // zero: no JWTs by secret
	JWKSURL   *url.URL       // nil: no JWTs by key set
	Audience  string         // empty: not checked
	Issuer    string         // empty: not checked
}

// Load is what the load generator is told.
type Load struct {
	URL      *url.URL
	Room     room.Name
	Pubs     int
	Subs     int
	Duration time.Duration
	Token    flagval.Secret // zero: none is sent
	Browser  bool           // traffic like a browser's, else in bursts
	WHEP     bool           // plain WHEP players in place of subscribers with a control channel
	Insecure bool           // any certificate will do
	JSON     bool
}
