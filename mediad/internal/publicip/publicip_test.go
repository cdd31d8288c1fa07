package publicip

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "the-session-token"

// The metadata services, as strict as the real ones: they refuse a request without the header that they ask for.
func aws(addr string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(token))
	})
	mux.HandleFunc("GET /latest/meta-data/public-ipv4", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-aws-ec2-metadata-token") != token:
			w.WriteHeader(http.StatusUnauthorized)
		case addr == "":
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = w.Write([]byte(addr))
		}
	})
	return mux
}

func gcp(addr string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if r.Header.Get("Metadata-Flavor") != "Google" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(addr + "\n"))
	})
	return mux
}

func azure(basic, loadBalancer string) http.Handler {
	mux := http.NewServeMux()
	handle := func(path, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Metadata") != "true" || r.URL.Query().Get("api-version") == "" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			_, _ = w.Write([]byte(body))
		})
	}
	handle("/metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress", basic)
	handle("/metadata/loadbalancer", loadBalancer)
	return mux
}

func plain(path, addr string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(addr)) })
	return mux
}

func TestClouds(t *testing.T) {
	const standard = `{"loadbalancer":{"publicIpAddresses":[{"frontendIpAddress":"203.0.113.9","privateIpAddress":"10.0.0.4"}]}}`
	for name, c := range map[string]struct {
		service http.Handler
		want    string // empty: an error
	}{
		"AWS":                    {aws("203.0.113.7"), "203.0.113.7"},
		"AWS, no public address": {aws(""), ""},
		"GCP":                    {gcp("203.0.113.8"), "203.0.113.8"},
		"GCP, none":              {gcp(""), ""},
		"Azure, basic":           {azure("203.0.113.6", `{}`), "203.0.113.6"},
		"Azure, standard":        {azure("", standard), "203.0.113.9"},
		"Azure, none":            {azure("", `{"loadbalancer":{"publicIpAddresses":[]}}`), ""},
		"Azure, nonsense":        {azure("", `<html>`), ""},
		"DigitalOcean":           {plain("/metadata/v1/interfaces/public/0/ipv4/address", "203.0.113.5"), "203.0.113.5"},
		"Hetzner":                {plain("/hetzner/v1/metadata/public-ipv4", "203.0.113.4"), "203.0.113.4"},
		"a private address":      {aws("10.0.0.1"), ""},
		"not an address":         {aws("hello"), ""},
		"a portal":               {http.RedirectHandler("/login", http.StatusFound), ""},
		"a page for every path":  {plain("/", "<html>"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(c.service)
			defer srv.Close()
			got, err := Discover(t.Context(), Config{Metadata: srv.URL})
			if c.want == "" {
				if err == nil || got.IsValid() {
					t.Fatalf("got %v", got)
				}
				return
			}
			if err != nil || got.String() != c.want {
				t.Fatalf("got %v, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestErrorSaysWhatEachAnswered(t *testing.T) {
	srv := httptest.NewServer(aws(""))
	defer srv.Close()
	_, err := Discover(t.Context(), Config{Metadata: srv.URL})
	for _, want := range []string{"AWS: no public address is assigned", "GCP: ", "Azure: ", "--stun"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in: %v", want, err)
		}
	}
}

// stunServer answers binding requests with addr, from the second one on.
func stunServer(t *testing.T, addr netip.Addr) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for try := 0; ; try++ {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			m := &stun.Message{Raw: buf[:n]}
			if err := m.Decode(); err != nil || m.Type != stun.BindingRequest {
				t.Errorf("not a binding request: %v", err)
				return
			}
			// Strangers' packets and lost ones are part of the network.
			_, _ = conn.WriteTo([]byte("noise"), from)
			stranger := stun.MustBuild(stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(198, 51, 100, 1), Port: 1})
			_, _ = conn.WriteTo(stranger.Raw, from)
			if try == 0 {
				continue
			}
			answer := stun.MustBuild(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: addr.AsSlice(), Port: 4711})
			_, _ = conn.WriteTo(answer.Raw, from)
		}
	}()
	return conn.LocalAddr().String()
}

func TestSTUNWhenNoCloudAnswers(t *testing.T) {
	nowhere := httptest.NewServer(http.NotFoundHandler())
	defer nowhere.Close()
	server := stunServer(t, netip.MustParseAddr("203.0.113.77"))
	for _, uri := range []string{server, "stun:" + server} {
		if got, err := Discover(t.Context(), Config{Metadata: nowhere.URL, STUN: uri}); err != nil || got.String() != "203.0.113.77" {
			t.Fatalf("%s: got %v, %v", uri, got, err)
		}
	}
	behind := stunServer(t, netip.MustParseAddr("10.0.0.1"))
	if got, err := Discover(t.Context(), Config{Metadata: nowhere.URL, STUN: behind}); err == nil {
		t.Fatalf("a private address was taken for public: %v", got)
	}
}

func TestGivesUpInTime(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	hang := make(chan struct{})
	stuck := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer stuck.Close()
	defer close(hang)
	start := time.Now()
	if got, err := Discover(t.Context(), Config{Metadata: stuck.URL, STUN: silent.LocalAddr().String()}); err == nil {
		t.Fatalf("got %v from nobody", got)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Fatalf("took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Discover(ctx, Config{Metadata: stuck.URL, STUN: silent.LocalAddr().String()}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func FuzzMapped(f *testing.F) {
	good := stun.MustBuild(stun.NewTransactionIDSetter([12]byte{1}), stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(203, 0, 113, 1), Port: 1})
	f.Add(good.Raw)
	f.Add([]byte("noise"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if addr, ok := mapped(packet, [12]byte{1}); ok && !addr.IsValid() {
			t.Error("an answer without an address")
		}
	})
}
