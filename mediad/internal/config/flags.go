package config

import (
	"weever/mediad/internal/config/reading"
)

// cliFlags is the command line as kong reads it: all values are text, which resolve.go turns into a Config. That way every bad
// value of a run is found, not only the first. What the tags mean says package reading.
type cliFlags struct {
	Serve   serveFlags `cmd:"" default:"withargs" help:"Run a media node (the default)."`
	Load    loadFlags  `cmd:"" help:"Put load on a WHIP/WHEP or Weever server and print what came through."`
	Check   checkFlags `cmd:"" help:"Go through the WHIP or WHEP checklist with any server."`
	Version struct{}   `cmd:"" help:"Print the version."`
}

type serveFlags struct {
	Public  publicFlags    `embed:"" group:"Public API:"`
	Private privateFlags   `embed:"" group:"Private API:"`
	Shared  sharedFlags    `embed:"" group:"Shared services:"`
	Node    nodeFlags      `embed:"" group:"This node:"`
	Media   mediaFlags     `embed:"" group:"Media:"`
	Auth    authFlags      `embed:"" group:"Who may come in:"`
	Logging logFlags       `embed:"" group:"Logging:"`
	Dev     reading.Toggle `group:"Development:" shown:"off" help:"One process with its own Redis and NATS, a self-signed certificate, no auth, the control API and the site. All listeners on loopback unless --host is given."`
	DevPort string         `group:"Development:" default:"8080" help:"With --dev: port of the plain HTTP twin of the public API, on loopback always."`
}

type publicFlags struct {
	Host           string         `default:"0.0.0.0" help:"Address to listen on: an IP address, or localhost."`
	Port           string         `default:"8443" help:"TCP port of the public API; 0 takes any free one."`
	PlainHTTP      reading.Toggle `name:"plain-http" shown:"off" help:"Serve plain HTTP: for use behind a balancer that ends TLS."`
	CertFile       string         `placeholder:"FILE" help:"TLS certificate with its chain, PEM; read again when it changes."`
	KeyFile        string         `placeholder:"FILE" help:"Key of the certificate, PEM."`
	CORSDomain     []string       `name:"cors-domain" default:"localhost" help:"Domain whose pages, and whose sub-domains' pages, may call the API; * is all. Repeatable. localhost on any port always may."`
	TrustedProxies []string       `placeholder:"CIDR" help:"Addresses or ranges (CIDR) whose X-Forwarded-For is believed by the limits per client. Repeatable."`
	RateLimit      string         `default:"200/s,1000/s" help:"POST, PATCH and DELETE per client address, and per node; above: 429. Units s, m, h; off is no limit."`

	MaxSessionsPerIP string `name:"max-sessions-per-ip" default:"0" help:"Sessions of one client address at most; above: 429. 0 is no limit."`

	StrictEtags reading.Toggle `shown:"off" help:"Refuse a PATCH without If-Match (428), as RFC 9725 asks; many clients send none."`
	Site        reading.Toggle `shown:"off; on with --dev" help:"Serve the demo site at /."`
}

type privateFlags struct {
	PrivateHost    string `default:"127.0.0.1" help:"Address of the private API (plain HTTP). Any but loopback needs an --admin-token."`
	PrivatePort    string `default:"9443" help:"TCP port of the private API; 0 takes any free one."`
	AdminToken     string `placeholder:"TOKEN" secret:"" help:"Bearer token of the private API. /liveness and /readiness never need it."`
	AdminTokenFile string `placeholder:"FILE" help:"File with the --admin-token."`
}

type sharedFlags struct {
	Redis        string   `secret:"" default:"redis://127.0.0.1:6379" help:"redis:// or rediss:// (TLS) URL with user and password; ?addr=host:port (repeatable) for a cluster, ?master_name= for sentinels."`
	RedisFile    string   `placeholder:"FILE" help:"File with the --redis URL."`
	NATS         []string `name:"nats" secret:"" default:"nats://127.0.0.1:4222" help:"NATS servers: nats:// or tls:// URLs, separated by commas. Repeatable."`
	NATSFile     string   `placeholder:"FILE" name:"nats-file" help:"File with the --nats URLs."`
	NATSCreds    string   `placeholder:"FILE" name:"nats-creds" help:"NATS credentials file (JWT and seed)."`
	NATSCAFile   string   `placeholder:"FILE" name:"nats-ca-file" help:"Authorities that NATS certificates are checked against, PEM; default the system's."`
	NATSCertFile string   `placeholder:"FILE" name:"nats-cert-file" help:"Client certificate for NATS, PEM."`
	NATSKeyFile  string   `placeholder:"FILE" name:"nats-key-file" help:"Key of the NATS client certificate, PEM."`
	Consul       string   `placeholder:"ADDRESS" shown:"do not register" help:"Consul agent: host:port, http(s)://host:port or unix:///path. The CONSUL_HTTP_ variables give token and TLS."`
	Namespace    string   `default:"weever" help:"Prefix of Redis keys and NATS subjects: installations with different ones can share the services."`
}

type nodeFlags struct {
	NodeID        string `placeholder:"NAME" shown:"host name and a random suffix" help:"Name of this node, unique in the installation."`
	Region        string `placeholder:"NAME" help:"Where this node stands; told to Consul."`
	AdvertiseHost string `placeholder:"HOST" shown:"--host if it is one address, else the address of the default route" help:"Name or address where balancers and other nodes reach this node's HTTP."`
	AdvertisePort string `placeholder:"PORT" shown:"--port" help:"Port where they do."`
	MaxSessions   string `placeholder:"NUMBER" shown:"500 per core" help:"Sessions at most; above: not ready, and 503 for new ones. 0 is no limit."`
	MaxEgressMbps string `default:"0" help:"Mbit/s of media sent at most, as an average of seconds; from there on: not ready, and 503 for new sessions. 0 is no limit."`
	MaxCPU        string `name:"max-cpu" default:"0" help:"Percent of the cores that the process may use, as an average of seconds; from there on: not ready, and 503 for new sessions. 0 is no limit."`
	DrainTimeout  string `default:"5m" shown:"5m; 0s with --dev" help:"How long a drain (SIGTERM, /preStop) waits for sessions to leave."`
	ResumeWindow  string `default:"10s" help:"How long a publisher that fell silent keeps its place."`
}

type mediaFlags struct {
	UDPPort    string   `name:"udp-port" default:"8443" help:"The one UDP port of all media; 0 takes any free one."`
	TCPPort    string   `inert:"" name:"tcp-port" default:"0" help:"Port of ICE over TCP; 0 is off."`
	PublicIP   []string `placeholder:"ADDRESS" name:"public-ip" help:"Public address of this machine behind a 1:1 NAT, repeatable; auto asks the cloud (AWS, GCP, Azure), else --stun."`
	STUN       string   `placeholder:"HOST:PORT" name:"stun" help:"STUN server that --public-ip auto asks when no cloud answers."`
	Interfaces []string `placeholder:"PATTERN" shown:"all but loopback" help:"Names or patterns (eth*) of the interfaces whose addresses are offered to clients. Repeatable."`
	ICEServer  []string `placeholder:"URI" name:"ice-server" help:"stun:, turn: or turns: URI told to clients after authentication. Repeatable."`

	TURNSecret     string `placeholder:"SECRET" name:"turn-secret" secret:"" help:"Secret shared with the TURN servers: clients get credentials that expire."`
	TURNSecretFile string `placeholder:"FILE" name:"turn-secret-file" help:"File with the --turn-secret."`
	TURNKey        string `name:"turn-key" default:"base64" help:"How the credentials made with it are written: base64 (what coturn checks), unpadded or hex (for TURN servers that take those: some clients lose the = of base64)."`
}

type authFlags struct {
	Auth          reading.Toggle `shown:"on; off with --dev" help:"Ask for a bearer token on /pub and /sub."`
	NoAuth        reading.Toggle `shown:"off" help:"Ask nobody; any Authorization header is ignored."`
	JWTSecret     string         `placeholder:"SECRET" name:"jwt-secret" secret:"" help:"Accept JWTs signed with this secret (HS256) in place of stored tokens."`
	JWTSecretFile string         `placeholder:"FILE" name:"jwt-secret-file" help:"File with the --jwt-secret."`
	JWKSURL       string         `placeholder:"URL" name:"jwks-url" secret:"" help:"Accept JWTs signed with a key of this JSON Web Key Set (RS, PS, ES256, ES384, EdDSA)."`
	JWTAudience   string         `placeholder:"AUD" name:"jwt-audience" help:"The aud that a JWT must have."`
	JWTIssuer     string         `placeholder:"ISS" name:"jwt-issuer" help:"The iss that a JWT must have."`
}

type logFlags struct {
	LogLevel  string `default:"info" help:"debug, info, warn or error; with --dev warn is the default."`
	LogFormat string `default:"text" help:"text or json."`
}

type loadFlags struct {
	URL       string         `name:"url" default:"https://127.0.0.1:8443" help:"Base URL of the server: /pub/… and /sub/… are below it."`
	Room      string         `default:"load" help:"Room to use."`
	Pubs      string         `default:"1" help:"Publishers."`
	Subs      string         `default:"10" help:"Subscribers."`
	Duration  string         `default:"30s" help:"How long to measure."`
	Traffic   string         `default:"burst" help:"burst: a frame's packets equal and at once; browser: paced, sizes differing."`
	Whep      reading.Toggle `shown:"off" help:"Subscribers are plain WHEP players: one publisher each, no control channel."`
	Token     string         `placeholder:"TOKEN" secret:"" help:"Bearer token for all of them."`
	TokenFile string         `placeholder:"FILE" help:"File with the --token."`
	Insecure  reading.Toggle `shown:"off" help:"Accept any certificate."`
	JSON      reading.Toggle `name:"json" shown:"off" help:"Print JSON in place of a table."`
}
