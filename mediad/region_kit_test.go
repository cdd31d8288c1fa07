package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"weever/mediad/internal/flagval"
	"weever/shared/testkit/cable"
)

// This file is the bus that infra/ ships: NATS servers with those very files, over TLS, in one region or in several with gateways.

const (
	shippedRegion  = "../infra/nats/region.conf"
	shippedRegions = "../infra/nats/regions.conf"
	busPassword    = "12345" // digits alone: the file must not take it for a number
)

// bus is the servers of all regions.
type bus struct {
	ca      string // file with the authority
	regions map[string]*busRegion
}

type busRegion struct {
	servers []*server.Server
	paths   []*cable.Cable // ways from other regions to the gateway of each server
	urls    []string       // for nodes
}

// authority makes an authority and a certificate for 127.0.0.1, good for servers and clients, as PEM files.
func authority(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	made := func(c *x509.Certificate, by *x509.Certificate, k, byKey *ecdsa.PrivateKey) []byte {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, c, by, &k.PublicKey, byKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	caKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	leafKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bus"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca = write("ca.pem", "CERTIFICATE", made(root, root, caKey, caKey))
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert = write("cert.pem", "CERTIFICATE", made(leaf, root, leafKey, caKey))
	der, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return ca, cert, write("key.pem", "EC PRIVATE KEY", der)
}

// freeAddrs finds loopback addresses that nobody listens at.
func freeAddrs(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// startBus runs so many servers in each region, with region.conf if there is one region, else with regions.conf, and returns when each
// is connected to all it should.
func startBus(t *testing.T, servers int, names ...string) *bus {
	t.Helper()
	ca, cert, key := authority(t)
	b := &bus{ca: ca, regions: map[string]*busRegion{}}
	file, routes, gates, gateways := shippedRegion, map[string][]string{}, map[string][]string{}, []string{}
	for _, name := range names {
		b.regions[name] = &busRegion{}
		routes[name] = freeAddrs(t, servers)
		if len(names) == 1 {
			continue
		}
		file = shippedRegions
		gates[name] = freeAddrs(t, servers)
		var urls []string
		for _, g := range gates[name] {
			p := cable.New(t, g)
			b.regions[name].paths = append(b.regions[name].paths, p)
			urls = append(urls, "nats://"+p.Addr)
		}
		gateways = append(gateways, fmt.Sprintf(`{name: %s, urls: [%s]}`, name, quoted(urls)))
	}
	t.Setenv("NATS_CA", ca)
	t.Setenv("NATS_CERT", cert)
	t.Setenv("NATS_KEY", key)
	t.Setenv("NATS_PASSWORD", `"`+busPassword+`"`)
	t.Setenv("NATS_ADMIN_PASSWORD", `"admin"`)
	t.Setenv("NATS_LISTEN", `"127.0.0.1:-1"`)
	t.Setenv("NATS_MONITOR", `"127.0.0.1:-1"`)
	t.Setenv("NATS_GATEWAYS", "["+strings.Join(gateways, ", ")+"]")
	for _, name := range names {
		r := b.regions[name]
		t.Setenv("NATS_REGION", name)
		var urls []string
		for _, a := range routes[name] {
			urls = append(urls, "nats://"+a)
		}
		t.Setenv("NATS_ROUTES", "["+quoted(urls)+"]")
		for i := range servers {
			t.Setenv("NATS_NAME", fmt.Sprintf("%s-%d", name, i))
			t.Setenv("NATS_CLUSTER_LISTEN", `"`+routes[name][i]+`"`)
			if len(names) > 1 {
				t.Setenv("NATS_GATEWAY_LISTEN", `"`+gates[name][i]+`"`)
				t.Setenv("NATS_GATEWAY_ADVERTISE", `"`+r.paths[i].Addr+`"`)
			}
			s := runServer(t, file)
			r.servers = append(r.servers, s)
			r.urls = append(r.urls, fmt.Sprintf("tls://mediad:%s@%s", busPassword, s.Addr()))
		}
	}
	b.awaitLinks(t)
	return b
}

func quoted(urls []string) string {
	if len(urls) == 0 {
		return ""
	}
	return `"` + strings.Join(urls, `", "`) + `"`
}

// runServer starts a server with a file and the present environment.
func runServer(t *testing.T, file string) *server.Server {
	t.Helper()
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatalf("%s: the server is not ready", file)
	}
	return s
}

// awaitLinks waits until each server is connected to all of its region and to each other region, and is heard there.
func (b *bus) awaitLinks(t *testing.T) {
	t.Helper()
	for name, r := range b.regions {
		for _, s := range r.servers {
			await(t, s.Name()+" to be connected", 30*time.Second, func() bool {
				z, err := s.Routez(nil)
				if err != nil {
					return false
				}
				peers := map[string]bool{}
				for _, route := range z.Routes {
					peers[route.RemoteID] = true
				}
				return len(peers) == len(r.servers)-1 && s.NumOutboundGateways() == len(b.regions)-1
			})
		}
		if len(b.regions) > 1 {
			await(t, "others to have reached "+name, 30*time.Second, func() bool {
				in := 0
				for _, s := range r.servers {
					in += inbound(s)
				}
				return in >= (len(b.regions)-1)*len(r.servers)
			})
		}
	}
}

// inbound counts the connections from servers of other regions.
func inbound(s *server.Server) (n int) {
	z, err := s.Gatewayz(nil)
	if err != nil {
		return 0
	}
	for _, in := range z.InboundGateways {
		n += len(in)
	}
	return n
}

// cut breaks all links between regions, and keeps them broken until heal.
func (b *bus) cut(t *testing.T) {
	t.Helper()
	for _, r := range b.regions {
		for _, p := range r.paths {
			p.Cut()
		}
	}
	for _, r := range b.regions {
		for _, s := range r.servers {
			await(t, "the links to break", 10*time.Second, func() bool { return s.NumOutboundGateways() == 0 && inbound(s) == 0 })
		}
	}
}

// heal lets links through again. It does not wait for them.
func (b *bus) heal() {
	for _, r := range b.regions {
		for _, p := range r.paths {
			p.Heal()
		}
	}
}

// crossing is what the gateway connections of a region's servers have sent to another region.
type crossing struct{ messages, bytes uint64 }

func (b *bus) crossed(t *testing.T, from, to string) (c crossing) {
	t.Helper()
	for _, s := range b.regions[from].servers {
		z, err := s.Gatewayz(&server.GatewayzOptions{Accounts: true})
		if err != nil {
			t.Fatal(err)
		}
		g := z.OutboundGateways[to]
		if g == nil {
			continue
		}
		c.messages += uint64(g.Connection.OutMsgs)
		c.bytes += uint64(g.Connection.OutBytes)
	}
	return c
}

// modes is how the servers of a region decide what to send to another, for the account of the nodes.
func (b *bus) modes(t *testing.T, from, to string) (modes []string) {
	t.Helper()
	for _, s := range b.regions[from].servers {
		z, err := s.Gatewayz(&server.GatewayzOptions{Accounts: true})
		if err != nil {
			t.Fatal(err)
		}
		if g := z.OutboundGateways[to]; g != nil {
			for _, a := range g.Accounts {
				if a.Name == "WEEVER" && !slices.Contains(modes, a.InterestMode) {
					modes = append(modes, a.InterestMode)
				}
			}
		}
	}
	return modes
}

// config is that of a node in a region, beside its i-th server.
func (b *bus) config(c *cluster, id int, region string, i int) Config {
	r := b.regions[region]
	cfg := (&cluster{redis: c.redis, nats: r.urls}).config(id)
	cfg.Shared.NATS = []flagval.Secret{flagval.NewSecret(r.urls[i%len(r.urls)])}
	cfg.Shared.NATSCA, cfg.Shared.Namespace = b.ca, "weever"
	cfg.Node.ID, cfg.Node.Region = fmt.Sprintf("%s-%d", region, id), region
	return cfg
}
