package config

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"weever/mediad/internal/ratelimit"
	"weever/shared/room"
)

func perSecond(n int) ratelimit.Rate { return ratelimit.Rate{Count: n, Per: time.Second} }

// clean empties the variables that would leak from the machine into a test.
func clean(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "WEEVER_") {
			t.Setenv(name, "")
		}
	}
}

func mustParse(t *testing.T, args ...string) *CLI {
	t.Helper()
	c, err := Parse(args, new(bytes.Buffer), new(bytes.Buffer))
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return c
}

// faults is the error of a command line that must be refused, line by line.
func faults(t *testing.T, args ...string) []string {
	t.Helper()
	_, err := Parse(args, new(bytes.Buffer), new(bytes.Buffer))
	if err == nil {
		t.Fatalf("%q: accepted", args)
	}
	if !errors.Is(err, ErrUsage) {
		t.Fatalf("%q: not ErrUsage: %v", args, err)
	}
	return strings.Split(err.Error(), "\n  ")[1:]
}

func TestDefaults(t *testing.T) {
	clean(t)
	c := mustParse(t, "--plain-http").Serve
	id := c.Node.ID
	if _, err := room.ParseName(id); err != nil || id == mustParse(t, "--plain-http").Serve.Node.ID {
		t.Errorf("node id %q: %v, or not unique", id, err)
	}
	if a, err := netip.ParseAddr(c.Node.AdvertiseHost); err != nil || a.IsUnspecified() {
		t.Errorf("advertised host %q", c.Node.AdvertiseHost)
	}
	if c.Node.MaxSessions == 0 || c.Node.MaxSessions%sessionsPerCore != 0 {
		t.Errorf("max sessions %d", c.Node.MaxSessions)
	}
	c.Node.ID, c.Node.AdvertiseHost, c.Node.MaxSessions = "", "", 0
	if redis := c.Shared.Redis.Value(); redis != "redis://127.0.0.1:6379" {
		t.Errorf("redis %q", redis)
	}
	if len(c.Shared.NATS) != 1 || c.Shared.NATS[0].Value() != "nats://127.0.0.1:4222" {
		t.Errorf("nats %q", c.Shared.NATS)
	}
	want := Config{
		Public: Public{
			Host: netip.IPv4Unspecified(), Port: 8443, PlainHTTP: true, CORSDomains: []string{"localhost"}, RatePerIP: perSecond(200), RatePerNode: perSecond(1000),
		},
		Private: Private{Host: loopback, Port: 9443},
		Shared:  Shared{Redis: c.Shared.Redis, NATS: c.Shared.NATS, Namespace: "weever"},
		Node:    Node{DrainTimeout: 5 * time.Minute, ResumeWindow: 10 * time.Second},
		Media:   Media{UDPPort: 8443, TURNKey: "base64"},
		Auth:    Auth{On: true},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestDev(t *testing.T) {
	clean(t)
	c := mustParse(t, "--dev").Serve
	if !c.Dev || c.Public.Host != loopback || c.Private.Host != loopback || !c.Media.LoopbackOnly || c.Node.AdvertiseHost != "127.0.0.1" {
		t.Errorf("not on loopback alone: %+v", c)
	}
	if c.Public.Port != 8443 || c.Private.Port != 9443 || c.Public.PlainAddr != netip.MustParseAddrPort("127.0.0.1:8080") || c.Public.PlainHTTP {
		t.Errorf("ports: %+v %+v", c.Public, c.Private)
	}
	if c.Auth.On || !c.Public.Site || c.Public.CertFile != "" || !c.Shared.Redis.IsZero() || c.Shared.NATS != nil || len(c.Warnings) != 0 {
		t.Errorf("got %+v", c)
	}
	c = mustParse(t, "serve", "--dev", "--host", "0.0.0.0", "--auth", "--site=false", "--redis", "redis://h", "--nats", "h").Serve
	if c.Public.Host != netip.IPv4Unspecified() || c.Media.LoopbackOnly || c.Private.Host != loopback || c.Public.PlainAddr.Addr() != loopback {
		t.Errorf("with a host given: %+v", c)
	}
	if !c.Auth.On || c.Public.Site || c.Shared.Redis.Value() != "redis://h" || c.Shared.NATS[0].Value() != "nats://h" {
		t.Errorf("what is given wins: %+v", c)
	}
}

func TestEveryFlagReachesTheConfig(t *testing.T) {
	clean(t)
	t.Setenv("WEEVER_PORT", "1") // the flag wins
	t.Setenv("WEEVER_PUBLIC_IP", "203.0.113.7, auto")
	t.Setenv("WEEVER_SITE", "true")
	t.Setenv("WEEVER_REGION", "")
	t.Setenv("WEEVER_UDP_PORT", "") // as if not set
	c := mustParse(t, "--host", "::", "--port", "9000", "--plain-http", "--cors-domain", "Example.org", "--cors-domain", "b.example",
		"--trusted-proxies", "10.0.0.0/8,192.0.2.1", "--rate-limit", "50/s", "--max-sessions-per-ip", "9", "--strict-etags",
		"--private-host", "0.0.0.0", "--private-port", "9001", "--admin-token", "tok",
		"--redis", "rediss://u:p@h:1/2", "--nats", "tls://u:p@a:1,b", "--consul", "h:8500", "--namespace", "other",
		"--node-id", "n1", "--region", "eu-west", "--advertise-host", "n1.example", "--advertise-port", "443",
		"--max-sessions", "7", "--max-egress-mbps", "8", "--max-cpu", "75", "--drain-timeout", "0s", "--resume-window", "3s",
		"--tcp-port", "4443", "--stun", "h:3478", "--interfaces", "eth*,lo", "--ice-server", "stun:h", "--ice-server", "turn:h:1?transport=udp",
		"--turn-secret", "ts", "--turn-key", "hex", "--jwt-secret", strings.Repeat("k", 32), "--jwks-url", "https://h/k", "--jwt-audience", "aud", "--jwt-issuer", "iss",
		"--log-level", "debug", "--log-format", "json").Serve
	if c.Shared.Redis.Value() != "rediss://u:p@h:1/2" || fmt.Sprint(c.Shared.NATS[0].Value(), " ", c.Shared.NATS[1].Value()) != "tls://u:p@a:1 nats://b" ||
		c.Private.AdminToken.Value() != "tok" || c.Media.TURNSecret.Value() != "ts" || len(c.Auth.JWTSecret.Value()) != 32 || c.Auth.JWKSURL.String() != "https://h/k" {
		t.Errorf("secrets: %#v", c)
	}
	if s := fmt.Sprintf("%+v %#v", c, c); strings.Contains(s, "u:p@") || strings.Contains(s, "tok ") || strings.Contains(s, "kkkk") {
		t.Errorf("printing a configuration shows secrets: %s", s)
	}
	if !slices.Contains(c.Warnings, "--tcp-port has no effect yet") {
		t.Errorf("warnings %q", c.Warnings)
	}
	got := c
	got.Warnings = nil
	got.Shared.Redis, got.Shared.NATS, got.Private.AdminToken, got.Media.TURNSecret = Config{}.Shared.Redis, nil, Config{}.Private.AdminToken, Config{}.Media.TURNSecret
	got.Auth.JWTSecret, got.Auth.JWKSURL = Config{}.Auth.JWTSecret, nil
	want := Config{
		Public: Public{
			Host: netip.IPv6Unspecified(), Port: 9000, PlainHTTP: true, CORSDomains: []string{"example.org", "b.example"},
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")},
			RatePerIP:      perSecond(50), RatePerNode: perSecond(1000), SessionsPerIP: 9, StrictETags: true, Site: true,
		},
		Private: Private{Host: netip.IPv4Unspecified(), Port: 9001},
		Shared:  Shared{Consul: "h:8500", Namespace: "other"},
		Node: Node{
			ID: "n1", Region: "eu-west", AdvertiseHost: "n1.example", AdvertisePort: 443, MaxSessions: 7, MaxEgressMbps: 8, MaxCPU: 75, ResumeWindow: 3 * time.Second,
		},
		Media: Media{
			UDPPort: 8443, TCPPort: 4443, PublicIPs: []netip.Addr{netip.MustParseAddr("203.0.113.7")}, PublicIPAuto: true, STUN: "stun:h:3478",
			Interfaces: []string{"eth*", "lo"}, ICEServers: []string{"stun:h", "turn:h:1?transport=udp"}, TURNKey: "hex",
		},
		Auth:     Auth{On: true, Audience: "aud", Issuer: "iss"},
		LogLevel: slog.LevelDebug, LogJSON: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEveryFaultInOneRun(t *testing.T) {
	clean(t)
	t.Setenv("WEEVER_PRIVATE_PORT", "x")
	got := strings.Join(faults(t, "--port", "abc", "--host", "nowhere", "--rate-limit", "9", "--redis", "http://u:hunter2@h", "--admin-token", "hun ter2",
		"--nats", "ftp://u:hunter2@h", "--jwks-url", "ftp://u:hunter2@h", "--site=perhaps", "--public-ip", "auto,0.0.0.0", "--log-level", "loud", "--node-id", "a.b"), "\n")
	for _, want := range []string{
		`--port "abc": must be a whole number from 0 to 65535`,
		`--private-port "x" (from WEEVER_PRIVATE_PORT): must be a whole number`,
		`--host "nowhere": must be an IP address`, `--rate-limit "9": must be`, `--redis: `, `--admin-token: must be`, `--nats: must be`,
		`--jwks-url: must be`, `--site "perhaps": must be true or false`, `--public-ip "0.0.0.0": must be auto or`, `--log-level "loud": must be one of debug, info, warn, error`,
		`--node-id "a.b": must be 1 to 64 characters`, "a certificate is missing",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not named: %s", want)
		}
	}
	if strings.Contains(got, "hunter2") || strings.Contains(got, "ter2") {
		t.Error("a secret is shown")
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestFlagsThatDoNotGoTogether(t *testing.T) {
	clean(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"a certificate is missing":                                   {},
		"--cert-file and --key-file must be given together":          {"--cert-file", file},
		"exclude each other":                                         {"--plain-http", "--cert-file", file},
		"must be a certificate (PEM)":                                {"--cert-file", file, "--key-file", file},
		`--private-host "0.0.0.0": must be a loopback address`:       {"--plain-http", "--private-host", "0.0.0.0"},
		`--private-host "10.0.0.1": must be`:                         {"--dev", "--private-host", "10.0.0.1"},
		"--auth and --no-auth exclude each other":                    {"--plain-http", "--auth", "--no-auth"},
		"must not be given together with --admin-token":              {"--plain-http", "--admin-token", "x", "--admin-token-file", file},
		"must not be given together with --nats":                     {"--plain-http", "--nats", "x", "--nats-file", file},
		"need --jwt-secret or --jwks-url":                            {"--plain-http", "--jwt-issuer", "x"},
		"--private-port 8443: must not be the port of --port":        {"--plain-http", "--private-port", "8443"},
		"--tcp-port 8443: must not be the port of --port":            {"--plain-http", "--tcp-port", "8443"},
		"--dev-port 9443: must not be the port of --private-port":    {"--dev", "--dev-port", "9443"},
		"--nats-cert-file and --nats-key-file":                       {"--plain-http", "--nats-cert-file", file},
		"--redis-file \"/none\": must be a file that can be read":    {"--plain-http", "--redis-file", "/none"},
		"--nats-creds \"/none\": must be a file that can be read":    {"--plain-http", "--nats-creds", "/none"},
		"--duration \"1ms\": must be a duration":                     {"load", "--duration", "1ms"},
		"--traffic \"quiet\": must be one of burst, browser":         {"load", "--traffic", "quiet"},
		"--room \"a/b\": invalid name: room may only contain":        {"load", "--room", "a/b"},
		"--resume-window \"11m\": must be a duration such as":        {"--dev", "--resume-window", "11m"},
		"--max-cpu \"101\": must be a whole number from 0 to 100":    {"--dev", "--max-cpu", "101"},
		"--max-sessions \"-1\": must be a whole number from 0 to":    {"--dev", "--max-sessions=-1"},
		"--trusted-proxies \"10.0.0.0/40\": must be a range such as": {"--dev", "--trusted-proxies", "10.0.0.0/40"},
	} {
		if got := faults(t, args...); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%q: got %q, want %q alone", args, got, want)
		}
	}
	// Ports that only look alike: other addresses, other protocols, "any free one".
	mustParse(t, "--dev", "--host", "127.0.0.2", "--private-port", "8443")
	mustParse(t, "--plain-http", "--port", "0", "--private-port", "0")
}

func TestSecretsFromFiles(t *testing.T) {
	clean(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("WEEVER_JWT_SECRET_FILE", file("jwt", "jwt-secret"))
	c := mustParse(t, "--plain-http", "--admin-token-file", file("admin", "tok"), "--redis-file", file("redis", "redis://:pw@h:1"),
		"--nats-file", file("nats", "nats://a,tls://b"), "--turn-secret-file", file("turn", "ts"), "--private-host", "0.0.0.0").Serve
	got := []string{
		c.Private.AdminToken.Value(), c.Shared.Redis.Value(), c.Shared.NATS[0].Value(), c.Shared.NATS[1].Value(), c.Media.TURNSecret.Value(), c.Auth.JWTSecret.Value(),
	}
	if want := []string{"tok", "redis://:pw@h:1", "nats://a", "tls://b", "ts", "jwt-secret"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	bad := file("bad", "hun ter2")
	if got := faults(t, "--plain-http", "--admin-token-file", bad, "--redis-file", bad); len(got) != 2 || strings.Contains(strings.Join(got, ""), "ter2") {
		t.Errorf("got %q", got)
	}
}

func TestAuth(t *testing.T) {
	clean(t)
	for _, c := range []struct {
		args []string
		env  string
		on   bool
	}{
		{[]string{"--plain-http"}, "", true},
		{[]string{"--plain-http", "--no-auth"}, "", false},
		{[]string{"--plain-http", "--auth=false"}, "", false},
		{[]string{"--plain-http"}, "true", false},
		{[]string{"--plain-http", "--no-auth=false"}, "true", true},
		{[]string{"--dev"}, "", false},
		{[]string{"--dev", "--auth"}, "", true},
	} {
		t.Setenv("WEEVER_NO_AUTH", c.env)
		if got := mustParse(t, c.args...).Serve.Auth.On; got != c.on {
			t.Errorf("%q, WEEVER_NO_AUTH=%q: %v", c.args, c.env, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	clean(t)
	got := strings.Join(mustParse(t, "--plain-http", "--no-auth", "--jwt-secret", "short", "--ice-server", "turns:h").Serve.Warnings, "\n")
	for _, want := range []string{"everybody who reaches", "have no effect", "shorter than 32 bytes", "without credentials"} {
		if !strings.Contains(got, want) {
			t.Errorf("no warning %q in %q", want, got)
		}
	}
	if strings.Contains(got, "short\n") {
		t.Error("the secret is shown")
	}
	if got := mustParse(t, "--plain-http", "--rate-limit", "off,off").Serve; got.Public.RatePerNode.Count != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestCommands(t *testing.T) {
	clean(t)
	if c := mustParse(t, "version"); c.Command != CmdVersion {
		t.Errorf("got %q", c.Command)
	}
	l := mustParse(t, "load", "--url", "http://h:1/base", "--pubs", "2", "--subs", "0", "--whep", "--json", "--insecure", "--traffic", "browser", "--token", "tok", "--duration", "5s")
	if l.Command != CmdLoad || l.Load.URL.String() != "http://h:1/base" || l.Load.Token.Value() != "tok" || l.Load.Room.String() != "load" {
		t.Errorf("got %+v", l)
	}
	got := l.Load
	got.URL, got.Token, got.Room = nil, Load{}.Token, room.Name{}
	if want := (Load{Pubs: 2, Duration: 5 * time.Second, Browser: true, WHEP: true, Insecure: true, JSON: true}); got != want {
		t.Errorf("got %+v", got)
	}
	for _, args := range [][]string{{"--no-such-flag"}, {"dance"}, {"--port"}, {"serve", "extra"}} {
		if _, err := Parse(args, new(bytes.Buffer), new(bytes.Buffer)); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

func TestHelpShowsEveryFlagWithItsVariable(t *testing.T) {
	clean(t)
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}} {
		var out bytes.Buffer
		if c, err := Parse(args, &out, &out); err != nil || c.Command != CmdNone {
			t.Fatalf("%q: %v, %v", args, c, err)
		}
		text := strings.Join(strings.Fields(out.String()), " ")
		for _, f := range declared(t, CmdServe) {
			if !strings.Contains(text, "--"+f.Name) || !strings.Contains(text, "["+f.Envs[0]+"]") {
				t.Errorf("%q: no word of --%s or %s", args, f.Name, f.Envs[0])
			}
		}
	}
}

// declared is the list of flags of a command.
func declared(t *testing.T, cmd Command) (flags []*kong.Flag) {
	t.Helper()
	k, err := parser(new(cliFlags))
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range k.Model.Children {
		if node.Name == string(cmd) {
			flags = node.Flags
		}
	}
	return flags
}

func TestFlagNamesAndVariables(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	byName := map[string]*kong.Flag{}
	for _, f := range declared(t, CmdServe) {
		byName[f.Name] = f
		if !name.MatchString(f.Name) || len(f.Envs) != 1 || f.Envs[0] != "WEEVER_"+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")) {
			t.Errorf("--%s: variables %q", f.Name, f.Envs)
		}
		if f.Help == "" || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("--%s: help %q", f.Name, f.Help)
		}
	}
	for _, secret := range []string{"admin-token", "turn-secret", "jwt-secret", "redis", "nats"} {
		if byName[secret] == nil || !byName[secret].Tag.Has("secret") || byName[secret+"-file"] == nil {
			t.Errorf("--%s must be secret and have a --%[1]s-file", secret)
		}
	}
}
