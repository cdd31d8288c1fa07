package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/flagval"
	"weever/shared/testkit"
)

// How a drain is begun, called off and ended, and by whom.

// A drain that is called off leaves the node as it was, for whoever stayed and for balancers.
func TestDrainCalledOff(t *testing.T) {
	consul := testkit.Consul(t)
	c := newCluster(t, 1)
	cfg := c.drainConfig(0, time.Minute)
	cfg.Shared.Consul = consul
	n := start(t, cfg)
	publish(t, n, "tea", "alice")
	player := startPlayer(t, n, "tea", "player", "alice")
	plays(t, player, "alice", "audio0")
	awaitCheck(t, consul, n, "passing")

	for range 2 {
		done := make(chan int, 1)
		go func() {
			status, _ := preStop(t, n, "")
			done <- status
		}()
		awaitCheck(t, consul, n, "maintenance")
		if status, what := readiness(t, n); status != 503 || what != "draining" {
			t.Errorf("readiness %d %s", status, what)
		}
		if status, body := preStop(t, n, "?cancel=1"); status != 200 || body["cancelled"] != true {
			t.Errorf("%d %v", status, body)
		}
		if status, what := readiness(t, n); status != 200 || what != "ok" {
			t.Errorf("readiness %d %s", status, what)
		}
		if status := <-done; status != 409 {
			t.Errorf("the drain that was called off is answered %d", status)
		}
		awaitCheck(t, consul, n, "passing")
	}
	if status, body := preStop(t, n, "?cancel=1"); status != 200 || body["cancelled"] != false {
		t.Errorf("there was none: %d %v", status, body)
	}
	more(t, player, "alice", "audio0", 50)
	plays(t, subscribe(t, n, "tea", "bob"), "alice", "audio0")
}

// awaitCheck waits until Consul knows a node in a state: "passing", or "maintenance".
func awaitCheck(t *testing.T, consul string, n *testNode, state string) {
	t.Helper()
	await(t, n.cfg.Node.ID+" to be "+state+" in Consul", 10*time.Second, func() bool {
		var entries []struct {
			Checks []struct{ CheckID, Status string }
		}
		r := do(t, "GET", consul+"/v1/health/service/weever-mediad", "", nil)
		if err := json.Unmarshal([]byte(r.body), &entries); err != nil || len(entries) != 1 {
			return false
		}
		is := "passing"
		for _, check := range entries[0].Checks {
			switch {
			case strings.HasPrefix(check.CheckID, "_service_maintenance"):
				is = "maintenance"
			case check.Status != "passing" && is == "passing":
				is = check.Status
			}
		}
		return is == state
	})
}

// Pages of the web cannot drain a node, whose private API trusts whoever is on its machine.
func TestWhoMayDrain(t *testing.T) {
	c := newCluster(t, 1)
	open := start(t, c.drainConfig(0, time.Minute))
	cfg := c.drainConfig(1, time.Minute)
	cfg.Private.AdminToken = flagval.NewSecret("admin")
	guarded := start(t, cfg)
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	bearer := map[string]string{"Authorization": "Bearer admin"}
	for name, c := range map[string]struct {
		node         *testNode
		method, path string
		header       map[string]string
		body         string
		status       int
	}{
		"a page's form":             {open, "POST", "/preStop", map[string]string{"Origin": "https://evil.example", "Content-Type": "text/plain"}, "", 403},
		"a page without an origin":  {open, "POST", "/preStop", map[string]string{"Origin": "null"}, "", 403},
		"a page's request":          {open, "POST", "/preStop", map[string]string{"Sec-Fetch-Site": "cross-site"}, "", 403},
		"a page that calls it off":  {open, "POST", "/preStop?cancel=1", map[string]string{"Origin": "https://evil.example"}, "", 403},
		"a form with fields":        {open, "POST", "/preStop", form, "a=b", 400},
		"an image":                  {open, "GET", "/preStop", nil, "", 405},
		"a look":                    {open, "HEAD", "/preStop", nil, "", 405},
		"another Host":              {open, "POST", "/preStop", map[string]string{"Host": "evil.example"}, "", 403},
		"nonsense":                  {open, "POST", "/preStop?cancel=0", nil, "", 400},
		"no token":                  {guarded, "POST", "/preStop", nil, "", 401},
		"the wrong token":           {guarded, "GET", "/preStop", map[string]string{"Authorization": "Bearer x"}, "", 401},
		"a look, with the token":    {guarded, "HEAD", "/preStop", bearer, "", 405},
		"to call it off by GET":     {guarded, "GET", "/preStop?cancel=1", bearer, "", 405},
		"by GET and with the token": {guarded, "GET", "/preStop", bearer, "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, c.node.PrivateURL()+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range c.header {
				req.Header.Set(k, v)
			}
			if host := req.Header.Get("Host"); host != "" {
				req.Host = host
			}
			resp, err := insecure().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if is, _ := readiness(t, c.node); resp.StatusCode != c.status || c.status >= 400 && c.node == open && is != http.StatusOK {
				t.Errorf("%d, want %d; readiness is %d then", resp.StatusCode, c.status, is)
			}
		})
	}
}

// A process that is told to end waits for who is there; told twice it ends at once; drained before, it ends at once and in order.
func TestSignals(t *testing.T) {
	cluster := newCluster(t, 1)
	for name, c := range map[string]struct {
		drained, twice bool
		least, most    time.Duration
		exit           int // -1: by the signal
	}{
		"a drain":             {false, false, 3 * time.Second, 6 * time.Second, 0},
		"after a drain":       {true, false, 0, 2 * time.Second, 0},
		"and a second signal": {false, true, 0, 2 * time.Second, -1},
	} {
		t.Run(name, func(t *testing.T) {
			n := cluster.run(t, 0, "--drain-timeout=3s")
			p, err := client.Publish(within(t, 10*time.Second), client.Config{
				URL: "http://" + n.public, Room: "tea", ID: "alice", HTTP: insecure(), LoopbackOnly: true, NoControl: true,
			}, client.Microphone())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Hangup)
			preStop, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.private+"/preStop", nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.drained {
				if status, body, err := fetch(preStop); err != nil || status != 200 || body["left"] != 1.0 {
					t.Fatalf("%d %v %v", status, body, err)
				}
			}
			began := time.Now()
			n.signal(t, syscall.SIGTERM)
			if !c.drained {
				await(t, "readiness to go", 2*time.Second, func() bool {
					return do(t, "GET", "http://"+n.private+"/readiness", "", nil).status == 503
				})
				preStop.URL.RawQuery = "cancel=1"
				if status, _, err := fetch(preStop); err != nil || status != 409 {
					t.Errorf("calling it off is answered %d %v", status, err)
				}
			}
			if c.twice {
				n.signal(t, syscall.SIGTERM)
			}
			<-n.over
			if took, exit := time.Since(began), n.cmd.ProcessState.ExitCode(); took < c.least || took > c.most || exit != c.exit {
				t.Errorf("it ended after %v with %d", took, exit)
			}
		})
	}
}
