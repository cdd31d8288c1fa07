package ratelimit

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

func TestClientRate(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	l := New(Rate{6, time.Minute}, Rate{})
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range 6 {
		if w := l.Allow(a, now); w != 0 {
			t.Fatalf("request %d has to wait %v", i, w)
		}
	}
	for range 3 { // those refused do not make it longer
		if w := l.Allow(a, now); w != 10*time.Second {
			t.Errorf("the seventh has to wait %v, want 10 s", w)
		}
	}
	if w := l.Allow(b, now); w != 0 {
		t.Errorf("another client has to wait %v", w)
	}
	if w := l.Allow(a, now.Add(10*time.Second)); w != 0 {
		t.Errorf("after the wait: another %v", w)
	}
}

func TestNodeRate(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	l := New(Rate{}, Rate{2, time.Second})
	for i, want := range []time.Duration{0, 0, time.Second / 2} {
		if w := l.Allow(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), now); w != want {
			t.Errorf("request %d: wait %v, want %v", i, w, want)
		}
	}
	if w := l.Allow(netip.Addr{}, now); w == 0 {
		t.Error("a request from nowhere passes")
	}
}

func TestOff(t *testing.T) {
	t.Parallel()
	l := New(Rate{}, Rate{})
	for range 10_000 {
		if w := l.Allow(netip.MustParseAddr("192.0.2.1"), time.Unix(1, 0)); w != 0 {
			t.Fatalf("wait %v without a limit", w)
		}
	}
}

// Many addresses do not make the limiter grow.
func TestForgets(t *testing.T) {
	t.Parallel()
	l := New(Rate{1, time.Hour}, Rate{})
	for i := range 2 * remembered {
		l.Allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), time.Unix(1, 0))
	}
	if n := l.clients.Len(); n != remembered {
		t.Errorf("%d addresses kept, want %d", n, remembered)
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, c := range map[string]struct {
		remote string
		xff    []string
		want   string
	}{
		"direct":                      {"192.0.2.1:5000", nil, "192.0.2.1"},
		"direct, header invented":     {"192.0.2.1:5000", []string{"198.51.100.1"}, "192.0.2.1"},
		"one proxy":                   {"10.0.0.1:5000", []string{"198.51.100.1"}, "198.51.100.1"},
		"one proxy, left part forged": {"10.0.0.1:5000", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		"two proxies":                 {"10.0.0.1:5000", []string{"203.0.113.9, 198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		"two headers":                 {"10.0.0.1:5000", []string{"198.51.100.1", "10.9.9.9"}, "198.51.100.1"},
		"all trusted":                 {"10.0.0.1:5000", []string{"10.0.0.7"}, "10.0.0.7"},
		"no header":                   {"10.0.0.1:5000", nil, "10.0.0.1"},
		"garbage":                     {"10.0.0.1:5000", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		"with a port":                 {"10.0.0.1:5000", []string{"198.51.100.1:443"}, "198.51.100.1"},
		"IPv6 with a port":            {"[fd00::1]:5000", []string{"[2001:db8:1:2:3::4]:443"}, "2001:db8:1:2::"},
		"IPv6 in brackets":            {"[fd00::1]:5000", []string{"[2001:db8:1:2:3::4]"}, "2001:db8:1:2::"},
		"IPv6":                        {"[2001:db8:1:2:3::4]:1", nil, "2001:db8:1:2::"},
		"mapped":                      {"[::ffff:192.0.2.1]:1", nil, "192.0.2.1"},
		"mapped proxy":                {"[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"link-local with zone":        {"[fe80::1%eth0]:1", nil, "fe80::"},
		"unreadable":                  {"@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
			r.RemoteAddr = c.remote
			r.Header["X-Forwarded-For"] = c.xff
			if got := Client(r, trusted).String(); got != c.want {
				t.Errorf("client %s, want %s", got, c.want)
			}
		})
	}
}

func FuzzClient(f *testing.F) {
	f.Add("10.0.0.1:5000", "203.0.113.9, [2001:db8::1]:443, 10.9.9.9")
	f.Add("[::1%lo]:1", ",,")
	all := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	f.Fuzz(func(t *testing.T, remote, xff string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {xff}}}
		for _, trusted := range [][]netip.Prefix{nil, all} {
			got := Client(r, trusted)
			if got.Is4In6() || got.Zone() != "" {
				t.Errorf("%q: not in its one form", got)
			}
			if _, err := netip.ParseAddrPort(remote); err == nil && !got.IsValid() {
				t.Errorf("no client behind %q", remote)
			}
		}
	})
}
