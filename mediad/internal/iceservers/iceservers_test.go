package iceservers

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// issued is a moment at which credentials of 12 hours end at 1790000000.
func issued() time.Time { return time.Unix(1790000000, 0).Add(-DefaultTTL) }

func TestLinks(t *testing.T) {
	servers := []string{"stun:stun.example:3478", "turn:h:3478?transport=udp", "turns:[2001:db8::1]:443?transport=tcp", "stuns:h"}
	// printf '1790000000:alice' | openssl dgst -sha1 -hmac north -binary | base64
	for format, key := range map[KeyFormat]string{
		"": "bkNQAGOiGcDMDatOUuHbbdAqDKY=", Base64: "bkNQAGOiGcDMDatOUuHbbdAqDKY=", Unpadded: "bkNQAGOiGcDMDatOUuHbbdAqDKY", Hex: "6e43500063a219c0cc0dab4e52e1db6dd02a0ca6",
	} {
		l := must(New(Config{Servers: servers, Secret: "north", Format: format}))
		account := `; username="1790000000:alice"; credential="` + key + `"; credential-type="password"`
		want := []string{
			`<stun:stun.example:3478>; rel="ice-server"`,
			`<turn:h:3478?transport=udp>; rel="ice-server"` + account,
			`<turns:[2001:db8::1]:443?transport=tcp>; rel="ice-server"` + account,
			`<stuns:h>; rel="ice-server"`,
		}
		if got := l.Links("alice", issued()); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got\n%s\nwant\n%s", format, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	open := must(New(Config{Servers: servers[1:2]})).Links("alice", issued())
	if want := []string{`<turn:h:3478?transport=udp>; rel="ice-server"`}; !reflect.DeepEqual(open, want) {
		t.Errorf("without a secret: %q", open)
	}
	if got := must(New(Config{Secret: "north"})).Links("alice", issued()); len(got) > 0 {
		t.Errorf("without servers: %q", got)
	}
}

func TestTTL(t *testing.T) {
	l := must(New(Config{Servers: []string{"turn:h"}, Secret: "s", TTL: time.Minute}))
	if got := parse8288(t, l.Links("a", time.Unix(1000, 999))[0]).params["username"]; got != "1060:a" {
		t.Errorf("got %q", got)
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := New(Config{
		Servers: []string{
			"", "h", "turn:", "http://h", "TURN:h", "turn:h>x", "turn:h;x", "turn:h,x", "turn:h x", "turn:h\r\nx", `turn:h"x`, "turn:ü", "turn:h\x00", "turn:h<", "turn:h#x", "turn:u@h",
		},
		TTL: -time.Second, Format: "rot13", Secret: "hunter2",
	})
	if err == nil || strings.Count(err.Error(), "must be a URI") != 16 || !strings.Contains(err.Error(), "-1s are of no use") ||
		!strings.Contains(err.Error(), "base64, unpadded or hex") || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\r") {
		t.Errorf("got %v", err)
	}
}

// As they arrive: several headers of one name, which a browser joins.
func TestLinksThroughHTTP(t *testing.T) {
	l := must(New(Config{Servers: []string{"stun:a", "turn:b:1?transport=udp", "turn:c"}, Secret: "s"}))
	links := l.Links(`odd "user\`, time.Now())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, link := range links {
			w.Header().Add("Link", link)
		}
	}))
	defer s.Close()
	resp := must(s.Client().Get(s.URL))
	resp.Body.Close()
	s.Client().CloseIdleConnections()
	if got := resp.Header.Values("Link"); !reflect.DeepEqual(got, links) {
		t.Errorf("got %q, want %q", got, links)
	}
}

// link is a Link header's value as a client understands it.
type link struct {
	uri    string
	params map[string]string
}

// parse8288 reads a value by RFC 8288 section 3 and RFC 9110 section 5.6.4, to the letter.
func parse8288(t testing.TB, value string) link {
	t.Helper()
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' {
			t.Fatalf("%q cannot stand in a header", value)
		}
	}
	uri, rest, ok := strings.Cut(strings.TrimPrefix(value, "<"), ">")
	if !ok || !strings.HasPrefix(value, "<") {
		t.Fatalf("%q has no <target>", value)
	}
	l := link{uri, map[string]string{}}
	param := regexp.MustCompile(`^; ([a-z-]+)="((?:[^"\\]|\\.)*)"`)
	for rest != "" {
		m := param.FindStringSubmatch(rest)
		if m == nil {
			t.Fatalf("%q: %q is no parameter", value, rest)
		}
		if _, twice := l.params[m[1]]; twice {
			t.Fatalf("%q: %s comes twice", value, m[1])
		}
		l.params[m[1]] = regexp.MustCompile(`\\(.)`).ReplaceAllString(m[2], "$1")
		rest = rest[len(m[0]):]
	}
	return l
}

// splitSimply reads joined headers as real clients do: split the header at ", <", the entries at ";" and the parameters at "=", then
// drop the quotes. Clients that split with wholeValue know that a value may hold "=", the others lose what is behind it.
func splitSimply(joined string, wholeValue bool) (links []link) {
	for i, entry := range strings.Split(joined, ", <") {
		if i > 0 {
			entry = "<" + entry
		}
		items := strings.Split(entry, ";")
		l := link{strings.Trim(items[0], "<> "), map[string]string{}}
		for _, item := range items[1:] {
			n := -1
			if wholeValue {
				n = 2
			}
			parts := strings.SplitN(item, "=", n)
			l.params[strings.TrimSpace(parts[0])] = strings.ReplaceAll(parts[1], `"`, "")
		}
		links = append(links, l)
	}
	return links
}

func TestSimpleClients(t *testing.T) {
	for _, format := range []KeyFormat{Base64, Unpadded, Hex} {
		l := must(New(Config{Servers: []string{"stun:a", "turn:b:1?transport=udp", "turns:c:443"}, Secret: "s", Format: format}))
		for n := range 200 {
			links := l.Links(fmt.Sprintf("al_ic-e~%d+tab", n), time.Now())
			var want []link
			for _, v := range links {
				want = append(want, parse8288(t, v))
			}
			if got := splitSimply(strings.Join(links, ", "), true); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %v, want %v", format, got, want)
			}
			// The formats without "=" are there for these.
			if got := splitSimply(strings.Join(links, ", "), false); reflect.DeepEqual(got, want) == (format == Base64) {
				t.Errorf("%s: a client that splits at every = reads %v of %v", format, got, want)
			}
		}
	}
}

// Whatever the user is called, a value stands in a header, and a client reads what the TURN server will check.
func FuzzLinks(f *testing.F) {
	for _, user := range []string{"alice", "alice-screen+tab~1", "", `"`, `\`, `a"; rel="x`, "a\r\nSet-Cookie: x", "a\x00", "ü", "a, <turn:evil>", strings.Repeat("x", 64)} {
		f.Add(user, int64(1790000000), "secret")
	}
	f.Fuzz(func(t *testing.T, user string, unix int64, secret string) {
		now := time.Unix(unix%(1<<40), 0)
		l := must(New(Config{Servers: []string{"turn:h:3478?transport=udp"}, Secret: secret}))
		got := parse8288(t, l.Links(user, now)[0])
		if got.uri != "turn:h:3478?transport=udp" || got.params["rel"] != "ice-server" {
			t.Fatalf("got %v", got)
		}
		if secret == "" {
			if len(got.params) != 1 {
				t.Errorf("got %v", got)
			}
			return
		}
		name := got.params["username"]
		if want := fmt.Sprint(now.Add(DefaultTTL).Unix()) + ":"; !strings.HasPrefix(name, want) || len(name) != len(want)+len(user) {
			t.Errorf("user %q became %q", user, name)
		}
		if strings.ContainsAny(name, "\r\n\x00 ") || got.params["credential"] != l.credential(name) || got.params["credential-type"] != "password" || len(got.params) != 4 {
			t.Errorf("got %v", got)
		}
	})
}
