package testkit

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"weever/shared/testkit/proc"
)

// replier is a server that answers every request with a status and the request's body.
type replier struct {
	*httptest.Server
	status atomic.Int64
	asked  atomic.Int64 // requests but for health checks
}

func newReplier(t *testing.T, status int64) *replier {
	t.Helper()
	r := &replier{}
	r.status.Store(status)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/readiness" {
			r.asked.Add(1)
		}
		w.WriteHeader(int(r.status.Load()))
		_, _ = io.Copy(w, req.Body)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *replier) node(name string) BalancedNode {
	return BalancedNode{Name: name, Addr: r.Listener.Addr().String(), Check: r.Listener.Addr().String()}
}

func ask(t *testing.T, b *Balancer, method string) (status int, by, body string) {
	t.Helper()
	req, err := http.NewRequest(method, b.URL+"/x", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("X-Served-By"), string(text)
}

func TestHAProxyTakesTurnsAndRetries(t *testing.T) {
	one, two := newReplier(t, 200), newReplier(t, 200)
	plain := func(r *replier, name string) BalancedNode {
		return BalancedNode{Name: name, Addr: r.Listener.Addr().String()}
	}
	b := HAProxy(t, "", plain(one, "one"), plain(two, "two"))
	for _, want := range []string{"one", "two", "one", "two"} {
		if status, by, _ := ask(t, b, "POST"); status != 200 || by != want {
			t.Fatalf("%d from %s, want it from %s", status, by, want)
		}
	}
	one.status.Store(503)
	if status, by, body := ask(t, b, "POST"); status != 200 || by != "two" || body != "hello" {
		t.Errorf("a POST that the first refuses: %d %q from %s", status, body, by)
	}
	was := one.asked.Load() + two.asked.Load()
	two.status.Store(503)
	if status, _, _ := ask(t, b, "PATCH"); status != 503 {
		t.Errorf("a PATCH that is refused: %d", status)
	}
	if n := one.asked.Load() + two.asked.Load() - was; n != 1 {
		t.Errorf("a PATCH that is refused was sent %d times", n)
	}
}

func TestHAProxyLeavesOutWhoIsNotReady(t *testing.T) {
	one, two := newReplier(t, 200), newReplier(t, 200)
	b := HAProxy(t, "", one.node("one"), two.node("two"))
	one.status.Store(500)
	b.Await("one", "DOWN")
	for range 3 {
		if status, by, _ := ask(t, b, "GET"); status != 200 || by != "two" {
			t.Fatalf("%d from %s", status, by)
		}
	}
	one.status.Store(200)
	b.Await("one", "UP")
}

func TestHAProxyThatCannotStartSaysWhy(t *testing.T) {
	bin, err := haproxy()
	if err != nil {
		t.Fatal(err)
	}
	b := &Balancer{Process: proc.New(t, "haproxy"), t: t}
	if err := b.start(bin, t.TempDir(), "http://", "nonsense\n"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Fatalf("got %v", err)
	}
}
