package kubernetes

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// elsewhere are the flags of mediad that config does not take, and where they are set instead.
var elsewhere = map[string]string{
	"port": "ports.public", "private-port": "ports.private", "private-host": "the pod's address", "host": "all addresses of the pod",
	"plain-http": "tls.secretName", "cert-file": "tls.secretName", "key-file": "tls.secretName",
	"redis-file": "secret.name", "nats-file": "secret.name", "admin-token-file": "secret.name",
	"nats-creds": "secret.also", "nats-ca-file": "secret.also", "nats-cert-file": "secret.also", "nats-key-file": "secret.also",
	"jwt-secret-file": "secret.also", "turn-secret-file": "secret.also",
	"redis": "no secret in an argument", "nats": "no secret in an argument", "admin-token": "no secret in an argument",
	"jwt-secret": "no secret in an argument", "turn-secret": "no secret in an argument",
	"node-id": "the pod's name", "drain-timeout": "drain.timeoutSeconds", "udp-port": "media.udpPort", "public-ip": "media.address",
	"advertise-host": "the pod's address", "advertise-port": "ports.public",
	"tcp-port": "has no effect yet", "dev": "not for clusters", "dev-port": "not for clusters", "help": "not of a node",
}

// vocabulary is the flags and variables that mediad knows.
func vocabulary(t *testing.T, mediad string) (flags, variables []string) {
	t.Helper()
	help := tool.Call{}.Run(t, mediad, "--help")
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-., )?--([a-z-]+)`).FindAllStringSubmatch(help, -1) {
		flags = append(flags, m[1])
	}
	if len(flags) < 30 {
		t.Fatalf("the help is not understood: %q", flags)
	}
	return flags, regexp.MustCompile(`WEEVER_[A-Z_]+`).FindAllString(help, -1)
}

// strangers are the flags and variables of a container that mediad does not know.
func strangers(c container, flags, variables []string) (unknown []string) {
	for _, arg := range c.Args {
		name, isFlag := strings.CutPrefix(arg, "--")
		if name, _, _ = strings.Cut(name, "="); isFlag && !slices.Contains(flags, name) {
			unknown = append(unknown, arg)
		}
	}
	for _, v := range c.Env {
		if !slices.Contains(variables, v.Name) {
			unknown = append(unknown, v.Name)
		}
	}
	return unknown
}

func TestFlagsAreOfMediad(t *testing.T) {
	mediad := program(t)
	flags, variables := vocabulary(t, mediad)
	of := func(yaml string) []string {
		d := accepted(t, yaml).deployment(t)
		return strangers(d.mediad(t), flags, variables)
	}
	for name, v := range variants {
		if unknown := of(template(t, chart, v.args...)); len(unknown) > 0 {
			t.Errorf("%s: mediad knows no %q", name, unknown)
		}
	}
	for _, c := range []struct{ wrong, right string }{
		{"--udp-prot=", "--udp-port="}, {"WEEVER_NODE_NAME", "WEEVER_NODE_ID"}, {"redis: redis-url-file", "redis: redis-file"},
	} {
		if unknown := of(template(t, replacing(t, "templates/_mediad.tpl", c.wrong, c.right), least...)); len(unknown) != 1 {
			t.Errorf("%s was not found: %q", c.wrong, unknown)
		}
	}
	tool.Checked(t, "mediad --help", "of this tree", "that each flag and variable in the pod is one of mediad's")
}

// Every flag can be set or has its reason; a new one has to be thought of here.
func TestConfigKnowsEveryFlag(t *testing.T) {
	flags, _ := vocabulary(t, program(t))
	var schema struct {
		Properties struct {
			Config struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(planted.Read(t, "weever/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	for _, f := range flags {
		_, settable := schema.Properties.Config.Properties[f]
		if why, has := elsewhere[f]; settable == has {
			t.Errorf("--%s: in config is %v, elsewhere %q", f, settable, why)
		}
	}
	for f := range schema.Properties.Config.Properties {
		if !slices.Contains(flags, f) {
			t.Errorf("config takes %s, which mediad does not know", f)
		}
	}
}

// Each value arrives as it was meant. mediad says everything that it dislikes at once; one thing is wrong on purpose, so that it ends.
func TestValuesArrive(t *testing.T) {
	mediad := program(t)
	files := t.TempDir()
	secret := filepath.Join(files, "secret")
	for path, text := range map[string]string{
		"redis": "rediss://u:p@redis.example:6379/1", "nats": "tls://u:p@a.example,tls://u:p@b.example", "admin-token": "token", "nats-creds": "c",
		"nats-ca": "c", "nats-cert": "c", "nats-key": "c", "jwt-secret": strings.Repeat("s", 32), "turn-secret": "s",
	} {
		planted.Write(t, filepath.Join(secret, path), text)
	}
	config := `config={"auth":true,"no-auth":false,"jwks-url":"https://keys.example/jwks.json","jwt-audience":"a","jwt-issuer":"i",` +
		`"cors-domain":["a.example","b.example"],"trusted-proxies":["10.0.0.0/8","192.0.2.1"],"rate-limit":"100/s,9000/s","max-sessions-per-ip":1000000,` +
		`"strict-etags":true,"site":false,"consul":"consul.example:8500","namespace":"other","region":"eu","max-sessions":1000000,"max-egress-mbps":10000000,` +
		`"max-cpu":80,"resume-window":"20s","stun":"stun.example:3478","interfaces":["eth*","en[op]*"],"ice-server":["stun:a.example","turn:b.example?transport=udp"],` +
		`"turn-key":"hex","log-level":"debug","log-format":"json"}`
	also := `secret={"also":["nats-creds","nats-ca","nats-cert","nats-key","jwt-secret","turn-secret"]}`
	for name, c := range map[string]struct {
		values []string
		faults int
	}{
		"everything":    {with("--set-json", config, "--set-json", also), 1},
		"nothing":       {with(), 1},
		"a bad address": {sets("config.rate-limit=fast"), 2},
		"two of them":   {sets("config.rate-limit=fast", "config.resume-window=long"), 3},
	} {
		d := accepted(t, template(t, chart, c.values...)).deployment(t)
		args := []string{}
		for _, a := range d.mediad(t).Args {
			args = append(args, strings.ReplaceAll(a, "/etc/weever", files))
		}
		said := tool.Call{}.Refused(t, mediad, append(args, "--host=nowhere")...)
		if got := strings.Count(said, "\n  "); got != c.faults || !strings.Contains(said, `--host "nowhere"`) {
			t.Errorf("%s: %d faults, want %d:\n%s", name, got, c.faults, said)
		}
	}
}
