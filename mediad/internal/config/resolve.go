package config

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"weever/mediad/internal/config/reading"
	"weever/mediad/internal/flagval"
	"weever/mediad/internal/ratelimit"
	"weever/shared/redisdb"
	"weever/shared/room"
)

const (
	sessionsPerCore = 500
	mostSessions    = 1_000_000
	mostMbps        = 10_000_000
	ratePerNode     = 1000 // a second, when --rate-limit names only the rate per client
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// serve resolves the flags of a node.
func (r reader) serve(f *serveFlags) (c Config) {
	c.Dev = r.OnOff(&f.Dev, false)
	if c.Dev && !r.IsGiven(&f.Node.DrainTimeout) {
		f.Node.DrainTimeout = "0s" // there is no other node to go to
	}
	if c.Dev && !r.IsGiven(&f.Logging.LogLevel) {
		f.Logging.LogLevel = "warn"
	}
	c.LogLevel = reading.One(r.Reader, &f.Logging.LogLevel, flagval.Level)
	c.LogJSON = reading.One(r.Reader, &f.Logging.LogFormat, flagval.OneOf("text", "json")) == "json"
	c.Public = r.public(&f.Public, c.Dev)
	c.Private = r.private(&f.Private)
	c.Shared = r.shared(&f.Shared, c.Dev)
	c.Node = r.node(&f.Node)
	c.Media = r.media(&f.Media)
	c.Auth = r.auth(&f.Auth, c.Dev)
	if c.Dev {
		c.Media.LoopbackOnly = !r.IsGiven(&f.Public.Host)
		c.Public.PlainAddr = netip.AddrPortFrom(loopback, reading.One(r.Reader, &f.DevPort, flagval.Port))
	}
	r.together(&c)
	if c.Node.AdvertiseHost == "" {
		c.Node.AdvertiseHost = advertised(c.Public.Host)
	}
	c.Warnings = append(warnings(&c), r.Inert()...)
	return c
}

func (r reader) public(f *publicFlags, dev bool) Public {
	if dev && !r.IsGiven(&f.Host) {
		f.Host = loopback.String()
	}
	c := Public{
		Host: reading.One(r.Reader, &f.Host, flagval.Listen), Port: reading.One(r.Reader, &f.Port, flagval.Port),
		PlainHTTP: r.OnOff(&f.PlainHTTP, false), CertFile: f.CertFile, KeyFile: f.KeyFile,
		CORSDomains: reading.All(r.Reader, &f.CORSDomain, flagval.Domain), TrustedProxies: reading.All(r.Reader, &f.TrustedProxies, flagval.Prefix),
		SessionsPerIP: reading.One(r.Reader, &f.MaxSessionsPerIP, flagval.Count(mostSessions)), StrictETags: r.OnOff(&f.StrictEtags, false), Site: r.OnOff(&f.Site, dev),
	}
	rates := reading.One(r.Reader, &f.RateLimit, flagval.Rates)
	c.RatePerNode = ratelimit.Rate{Count: ratePerNode, Per: time.Second}
	if len(rates) > 0 {
		c.RatePerIP = rates[0]
	}
	if len(rates) > 1 {
		c.RatePerNode = rates[1]
	}
	switch {
	case c.PlainHTTP:
		r.Needs(c.CertFile == "" && c.KeyFile == "", "--plain-http and --cert-file, --key-file exclude each other")
	case c.CertFile != "" && c.KeyFile != "":
		if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
			r.Reject(&f.CertFile, c.CertFile, fmt.Errorf("must be a certificate (PEM) that fits --key-file: %w", err))
		}
	default:
		r.Needs(c.CertFile == c.KeyFile, "--cert-file and --key-file must be given together")
		r.Needs(dev || c.CertFile != c.KeyFile,
			"a certificate is missing: give --cert-file and --key-file, or --plain-http behind a balancer that ends TLS, or --dev")
	}
	return c
}

func (r reader) private(f *privateFlags) Private {
	c := Private{Host: reading.One(r.Reader, &f.PrivateHost, flagval.Listen), Port: reading.One(r.Reader, &f.PrivatePort, flagval.Port)}
	token := r.Secret(&f.AdminToken, &f.AdminTokenFile)
	c.AdminToken = reading.One(r.Named(&f.AdminToken, &token), &token, flagval.Bearer)
	r.Needs(!c.Host.IsValid() || c.Host.IsLoopback() || token != "" || f.AdminTokenFile != "", fmt.Sprintf(
		"--private-host %q: must be a loopback address, or --admin-token be given: the private API hands out and revokes tokens", f.PrivateHost))
	return c
}

func (r reader) shared(f *sharedFlags, dev bool) Shared {
	c := Shared{
		NATSCreds: f.NATSCreds, NATSCA: f.NATSCAFile, NATSCert: f.NATSCertFile, NATSKey: f.NATSKeyFile,
		Consul: reading.One(r.Reader, &f.Consul, flagval.Consul), Namespace: reading.One(r.Reader, &f.Namespace, flagval.Word),
	}
	if !dev || r.IsGiven(&f.Redis) || f.RedisFile != "" {
		text := r.Secret(&f.Redis, &f.RedisFile)
		c.Redis = reading.One(r.Named(&f.Redis, &text), &text, redisURL)
	}
	if !dev || r.IsGiven(&f.NATS) || f.NATSFile != "" {
		text := strings.Join(f.NATS, ",")
		if f.NATSFile != "" && r.IsGiven(&f.NATS) {
			r.Reject(&f.NATSFile, f.NATSFile, fmt.Errorf("must not be given together with --nats"))
		} else if f.NATSFile != "" {
			s, err := flagval.SecretFile(f.NATSFile)
			if err != nil {
				r.Reject(&f.NATSFile, f.NATSFile, err)
			}
			text = s.Value()
		}
		urls := strings.Split(text, ",")
		for _, u := range reading.All(r.Named(&f.NATS, &urls), &urls, flagval.NATS) {
			c.NATS = append(c.NATS, flagval.NewSecret(u))
		}
	}
	for _, file := range []*string{&f.NATSCreds, &f.NATSCAFile, &f.NATSCertFile, &f.NATSKeyFile} {
		if *file != "" {
			if _, err := flagval.SecretFile(*file); err != nil {
				r.Reject(file, *file, err)
			}
		}
	}
	r.Needs((c.NATSCert == "") == (c.NATSKey == ""), "--nats-cert-file and --nats-key-file must be given together")
	return c
}

func (r reader) node(f *nodeFlags) Node {
	f.NodeID = cmp.Or(f.NodeID, defaultNodeID())
	f.MaxSessions = cmp.Or(f.MaxSessions, fmt.Sprint(sessionsPerCore*runtime.GOMAXPROCS(0)))
	return Node{
		ID: reading.One(r.Reader, &f.NodeID, flagval.Word), Region: reading.One(r.Reader, &f.Region, flagval.Word),
		AdvertiseHost: reading.One(r.Reader, &f.AdvertiseHost, flagval.Host), AdvertisePort: reading.One(r.Reader, &f.AdvertisePort, flagval.Port),
		MaxSessions: reading.One(r.Reader, &f.MaxSessions, flagval.Count(mostSessions)), MaxEgressMbps: reading.One(r.Reader, &f.MaxEgressMbps, flagval.Count(mostMbps)),
		MaxCPU:       reading.One(r.Reader, &f.MaxCPU, flagval.Count(100)),
		DrainTimeout: reading.One(r.Reader, &f.DrainTimeout, flagval.Duration(0, 24*time.Hour)),
		ResumeWindow: reading.One(r.Reader, &f.ResumeWindow, flagval.Duration(0, 10*time.Minute)),
	}
}

func (r reader) media(f *mediaFlags) Media {
	c := Media{
		UDPPort: reading.One(r.Reader, &f.UDPPort, flagval.Port), TCPPort: reading.One(r.Reader, &f.TCPPort, flagval.Port), STUN: reading.One(r.Reader, &f.STUN, flagval.STUN),
		Interfaces: reading.All(r.Reader, &f.Interfaces, flagval.Pattern), ICEServers: reading.All(r.Reader, &f.ICEServer, flagval.ICEServer),
		TURNSecret: flagval.NewSecret(r.Secret(&f.TURNSecret, &f.TURNSecretFile)), TURNKey: reading.One(r.Reader, &f.TURNKey, flagval.OneOf("base64", "unpadded", "hex")),
	}
	for _, a := range reading.All(r.Reader, &f.PublicIP, flagval.PublicIP) {
		if a.IsValid() {
			c.PublicIPs = append(c.PublicIPs, a)
		} else {
			c.PublicIPAuto = true
		}
	}
	return c
}

func (r reader) auth(f *authFlags, dev bool) Auth {
	off := r.OnOff(&f.NoAuth, false)
	c := Auth{
		On: r.OnOff(&f.Auth, !dev && !off), JWTSecret: flagval.NewSecret(r.Secret(&f.JWTSecret, &f.JWTSecretFile)),
		JWKSURL: reading.One(r.Reader, &f.JWKSURL, flagval.KeySetURL), Audience: f.JWTAudience, Issuer: f.JWTIssuer,
	}
	r.Needs(!off || !c.On, "--auth and --no-auth exclude each other")
	r.Needs(c.Audience+c.Issuer == "" || f.JWKSURL+f.JWTSecret+f.JWTSecretFile != "",
		"--jwt-audience and --jwt-issuer need --jwt-secret or --jwks-url")
	return c
}

// together finds listeners that would take each other's TCP port.
func (r reader) together(c *Config) {
	type listener struct {
		flag string
		host netip.Addr
		port uint16
	}
	media := netip.IPv4Unspecified()
	if c.Media.LoopbackOnly {
		media = loopback
	}
	taken := []listener{
		{"--port", c.Public.Host, c.Public.Port},
		{"--private-port", c.Private.Host, c.Private.Port},
		{"--tcp-port", media, c.Media.TCPPort},
		{"--dev-port", c.Public.PlainAddr.Addr(), c.Public.PlainAddr.Port()},
	}
	for i, a := range taken {
		for _, b := range taken[:i] {
			overlap := a.host == b.host || a.host.IsUnspecified() || b.host.IsUnspecified()
			r.Needs(a.port == 0 || a.port != b.port || !overlap, fmt.Sprintf("%s %d: must not be the port of %s", a.flag, a.port, b.flag))
		}
	}
}

// load resolves the flags of the load generator.
func (r reader) load(f *loadFlags) Load {
	token := r.Secret(&f.Token, &f.TokenFile)
	return Load{
		URL: reading.One(r.Reader, &f.URL, flagval.WebURL), Room: reading.One(r.Reader, &f.Room, room.ParseName), Duration: reading.One(r.Reader, &f.Duration, flagval.Duration(time.Second, 24*time.Hour)),
		Pubs: reading.One(r.Reader, &f.Pubs, flagval.Count(10_000)), Subs: reading.One(r.Reader, &f.Subs, flagval.Count(100_000)),
		Token: reading.One(r.Named(&f.Token, &token), &token, flagval.Bearer), Browser: reading.One(r.Reader, &f.Traffic, flagval.OneOf("burst", "browser")) == "browser",
		WHEP: r.OnOff(&f.Whep, false), Insecure: r.OnOff(&f.Insecure, false), JSON: r.OnOff(&f.JSON, false),
	}
}

// redisURL lets redisdb judge its own URL; nothing is dialled.
func redisURL(s string) (flagval.Secret, error) {
	db, err := redisdb.Open(s, "weever")
	if err != nil {
		return flagval.Secret{}, err
	}
	return flagval.NewSecret(s), db.Close()
}

// defaultNodeID is the host's name, cut to what a name may be, and a random suffix: two processes of one host differ.
func defaultNodeID() string {
	const longestHost = 48
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	host = strings.Map(func(c rune) rune {
		if _, err := room.ParseName(string(c)); err != nil {
			return '-'
		}
		return c
	}, host)
	return host[:min(len(host), longestHost)] + "-" + strings.ToLower(rand.Text()[:8])
}

// advertised is where others reach a node that listens on host: there, or, if that is everywhere, at the address that the default
// route leaves from. Connecting a UDP socket sends nothing; the addresses are reserved for documentation (RFC 5737, RFC 3849).
func advertised(host netip.Addr) string {
	if host.IsValid() && !host.IsUnspecified() {
		return host.String()
	}
	for _, far := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		c, err := new(net.Dialer).DialContext(context.Background(), "udp", far)
		if err != nil {
			continue
		}
		addr := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
		_ = c.Close() // nothing was sent that could be lost
		return addr.Unmap().String()
	}
	return loopback.String()
}

// warnings says what is allowed but perhaps not meant.
func warnings(c *Config) (w []string) {
	warn := func(when bool, text string) {
		if when {
			w = append(w, text)
		}
	}
	const shortest = 32 // RFC 7518 section 3.2: a key of at least the hash's size
	secret := len(c.Auth.JWTSecret.Value())
	turn := strings.Contains(strings.Join(c.Media.ICEServers, " "), "turn")
	warn(!c.Auth.On && !c.Public.Host.IsLoopback(), "no authentication: everybody who reaches this node may publish and watch")
	warn(!c.Auth.On && (secret > 0 || c.Auth.JWKSURL != nil), "no authentication: the JWT settings have no effect")
	warn(secret > 0 && secret < shortest, "the JWT secret is shorter than 32 bytes and may be guessed (RFC 7518 section 3.2)")
	warn(turn && c.Media.TURNSecret.IsZero(), "TURN servers are told to clients without credentials: --turn-secret is missing")
	warn(c.Shared.Consul != "" && c.Node.AdvertiseHost == loopback.String() && !c.Public.Host.IsLoopback(),
		"no default route: this node is announced as 127.0.0.1; set --advertise-host")
	return w
}
