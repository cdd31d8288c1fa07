package flagval

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/ratelimit"
)

// show runs a parser and prints its value, or "!" and what is allowed.
func show[T any](parse func(string) (T, error)) func(string) string {
	return func(s string) string {
		v, err := parse(s)
		if err != nil {
			return "!" + err.Error()
		}
		return fmt.Sprint(v)
	}
}

func TestParsers(t *testing.T) {
	for name, p := range map[string]struct {
		parse func(string) string
		good  map[string]string // text to value
		bad   []string
	}{
		"Port":  {show(Port), map[string]string{"0": "0", "8443": "8443", "65535": "65535"}, []string{"", "-1", "65536", "1e3", "http", " 1"}},
		"Count": {show(Count(10)), map[string]string{"0": "0", "10": "10"}, []string{"", "11", "-1", "1.5"}},
		"Duration": {
			show(Duration(time.Second, time.Hour)),
			map[string]string{"1s": "1s", "5m": "5m0s", "60m": "1h0m0s"},
			[]string{"", "5", "999ms", "61m", "-5s"},
		},
		"Switch": {show(Switch), map[string]string{"true": "true", "0": "false", "Off": "false", "yes": "true"}, []string{"", "maybe", "2"}},
		"Level":  {show(Level), map[string]string{"debug": "DEBUG", "warn": "WARN"}, []string{"", "INFO+1", "trace", "Warn"}},
		"Listen": {
			show(Listen),
			map[string]string{"0.0.0.0": "0.0.0.0", "::": "::", "[::1]": "::1", "localhost": "127.0.0.1", "::ffff:10.0.0.1": "10.0.0.1"},
			[]string{"", "example.org", "10.0.0.1:80", "10.0.0.256", "*"},
		},
		"Unicast": {show(Unicast), map[string]string{"203.0.113.7": "203.0.113.7", "2001:db8::1": "2001:db8::1"}, []string{"", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "fe80::1%eth0", "host"}},
		"Prefix": {
			show(Prefix),
			map[string]string{"10.1.2.3/8": "10.0.0.0/8", "192.0.2.1": "192.0.2.1/32", "2001:db8::/32": "2001:db8::/32"},
			[]string{"", "10.0.0.0/33", "10.0.0.0/-1", "x/8", "10.0.0/8"},
		},
		"Host": {
			show(Host),
			map[string]string{"Node-1.Example.org": "node-1.example.org", "10.0.0.1": "10.0.0.1", "[::1]": "::1", "sfu_1": "sfu_1"},
			[]string{"", "0.0.0.0", "::", "fe80::1%eth0", "a::% ", "a..b", "-a", "a-", "a b", "a/b", "host:80", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a"},
		},
		"Domain":  {show(Domain), map[string]string{"*": "*", "Example.org": "example.org", "localhost": "localhost"}, []string{"", "*.example.org", "https://example.org", "a b", "example.org:80"}},
		"Word":    {show(Word), map[string]string{"node_1~a-B": "node_1~a-B"}, []string{"", "a.b", "a:b", "a*", strings.Repeat("x", 65), "ä"}},
		"Pattern": {show(Pattern), map[string]string{"eth*": "eth*", "lo": "lo"}, []string{"", "eth[", "a\\"}},
		"ICEServer": {
			show(ICEServer),
			map[string]string{"stun:h:3478": "stun:h:3478", "turns:h:443?transport=tcp": "turns:h:443?transport=tcp", "turn:[::1]:1": "turn:[::1]:1"},
			[]string{"", "h:3478", "http://h", "stun:", "turn:h?transport=x", "turn:h:99999999", "TURN:h", "turn:h>x", "turn:a,b", "turn:a;b", "turn:u@h", "turn:h/x", "turn:h#x", "turn:a b", "turn:0.0.0.0"},
		},
		"STUN":      {show(STUN), map[string]string{"stun:h:3478": "stun:h:3478", "h:3478": "stun:h:3478"}, []string{"", "turn:h", "http://h"}},
		"WebURL":    {show(WebURL), map[string]string{"https://h:1/x": "https://h:1/x"}, []string{"", "h:1", "ftp://h", "https://", "https://:1"}},
		"KeySetURL": {show(KeySetURL), map[string]string{"https://h/k": "https://h/k", "http://127.0.0.1:1/k": "http://127.0.0.1:1/k", "http://localhost/": "http://localhost/"}, []string{"", "http://h/k", "http://10.0.0.1/k"}},
		"NATS": {
			show(NATS),
			map[string]string{"h": "nats://h", "h:4222": "nats://h:4222", "tls://u:p@h:1": "tls://u:p@h:1"},
			[]string{"", "http://h", "nats://", "nats://h/x", "nats://h:port"},
		},
		"Consul": {
			show(Consul),
			map[string]string{"h:8500": "h:8500", "https://h:8501": "https://h:8501", "unix:///run/consul.sock": "unix:///run/consul.sock"},
			[]string{"", "gopher://h", "unix://x", "http://u:p@h", "http://"},
		},
		"OneOf": {show(OneOf("text", "json")), map[string]string{"json": "json"}, []string{"", "JSON", "xml"}},
	} {
		t.Run(name, func(t *testing.T) {
			for in, want := range p.good {
				if got := p.parse(in); got != want {
					t.Errorf("%q: got %q, want %q", in, got, want)
				}
			}
			for _, in := range p.bad {
				if got := p.parse(in); !strings.HasPrefix(got, "!must be ") {
					t.Errorf("%q: got %q, want to be told what is allowed", in, got)
				}
			}
		})
	}
}

func TestRates(t *testing.T) {
	for in, want := range map[string][]ratelimit.Rate{
		"200/s":        {{Count: 200, Per: time.Second}},
		"200/s,1000/s": {{Count: 200, Per: time.Second}, {Count: 1000, Per: time.Second}},
		"60/m, 7200/h": {{Count: 60, Per: time.Minute}, {Count: 7200, Per: time.Hour}},
		"off,off":      {{}, {}},
	} {
		if got, err := Rates(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "200", "200/d", "0/s", "-1/s", "1.5/s", "1/s,", ",1/s", "1/s,1/s,1/s", "off/s", "99999999999/s"} {
		if got, err := Rates(in); err == nil {
			t.Errorf("%q: accepted as %v", in, got)
		}
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	s := NewSecret("hunter2")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s)
	js, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	type holder struct{ S Secret }
	all := log.String() + string(js) + fmt.Sprintf("%v %+v %#v %s %q %v %#v", s, s, s, s, s, holder{s}, holder{s})
	if strings.Contains(all, "hunter2") {
		t.Fatalf("shown in %s", all)
	}
	if s.Value() != "hunter2" || s.IsZero() || !(Secret{}).IsZero() {
		t.Fatal("a secret must show itself to who asks")
	}
}

func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if s, err := SecretFile(file("good", " se cret\r\n")); err != nil || s.Value() != " se cret" {
		t.Fatalf("got %q, %v", s.Value(), err)
	}
	for _, name := range []string{dir, filepath.Join(dir, "none"), file("empty", "\n"), file("big", strings.Repeat("x", maxSecretFile+1))} {
		if _, err := SecretFile(name); err == nil || !strings.HasPrefix(err.Error(), "must ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestBearer(t *testing.T) {
	if s, err := Bearer("abc.DEF-123=="); err != nil || s.Value() != "abc.DEF-123==" {
		t.Fatalf("got %q, %v", s.Value(), err)
	}
	for _, in := range []string{"", "a b", "a\n", "ä", "\x7f"} {
		if _, err := Bearer(in); err == nil || strings.Contains(err.Error(), in+"x") {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

func FuzzParsersNeverPanic(f *testing.F) {
	for _, s := range []string{"", "1", "10.0.0.0/8", "turn:h:1?transport=udp", "nats://u:p@h", "200/s,off", "[::1]", "eth["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := Host(s); err == nil && (h == "" || strings.ContainsAny(h, " /\\\"'<>")) {
			t.Errorf("host %q", h)
		}
		if p, err := Prefix(s); err == nil && !p.IsValid() {
			t.Errorf("prefix %v", p)
		}
		if r, err := Rates(s); err == nil && (len(r) == 0 || len(r) > 2 || (r[0].Count == 0) != (r[0].Per == 0)) {
			t.Errorf("rate %v", r)
		}
		if w, err := Word(s); err == nil && strings.ContainsAny(w, ".*> :{}") {
			t.Errorf("word %q", w)
		}
		_, _ = ICEServer(s)
		_, _ = NATS(s)
		_, _ = Consul(s)
		_, _ = KeySetURL(s)
	})
}
