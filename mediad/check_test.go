package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weever/mediad/internal/check"
	"weever/mediad/internal/check/checklist"
)

// checkedNode is a node with auth on, and a maker of tokens for it.
func checkedNode(t *testing.T, strict bool) (n *testNode, token func(role, room, id string) string) {
	t.Helper()
	n = start(t, checkedConfig(newCluster(t, 1), 0, strict))
	return n, tokenMaker(t, n)
}

func checkedConfig(c *cluster, i int, strict bool) Config {
	cfg := c.config(i)
	cfg.Auth.On, cfg.Public.StrictETags = true, strict
	cfg.Node.ResumeWindow = time.Second // a silent publisher's session need not be kept for long
	return cfg
}

// tokenMaker makes tokens through a node's control API.
func tokenMaker(t *testing.T, n *testNode) func(role, room, id string) string {
	return func(role, room, id string) string {
		t.Helper()
		r := do(t, "POST", n.PrivateURL()+"/create/"+role, fmt.Sprintf(`{"room":%q,"id":%q}`, room, id), map[string]string{"Content-Type": "application/json"})
		var out struct{ Token string }
		if err := json.Unmarshal([]byte(r.body), &out); err != nil || out.Token == "" {
			t.Fatalf("create: %+v", r)
		}
		return out.Token
	}
}

// failures lists the rows that failed, with their evidence.
func failures(r *check.Report) (ids []string, text string) {
	for _, x := range r.Results {
		if x.Status == checklist.Fail {
			ids = append(ids, x.ID)
			text += fmt.Sprintf("\n%s (%s) %s: %s", x.ID, x.Level, x.Statement, x.Evidence)
		}
	}
	return ids, text
}

// Our own node keeps every rule of the checklist, as WHIP and as WHEP server, strict and lenient.
func TestCheckOfOurNode(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup // all four at once: they do little but wait
	for _, strict := range []bool{false, true} {
		n, token := checkedNode(t, strict)
		t.Cleanup(func() { nobodyThere(t, n) })
		for role, args := range map[string][]string{
			"whip": {n.PublicURL() + "/pub/tea/alice", "--token", token("pub", "tea", "alice")},
			"whep": {
				n.PublicURL() + "/sub/coffee/bob", "--token", token("sub", "coffee", "bob"), "--whep",
				"--publish", n.PublicURL() + "/pub/coffee/carol", "--publish-token", token("pub", "coffee", "carol"),
			},
		} {
			if strict {
				args = append(args, "--strict")
			}
			all.Go(func() { conforms(t, role, args) })
		}
	}
	all.Wait()
}

// The same through a balancer without stickiness: nearly every PATCH and DELETE reaches a node that does not own the session.
func TestCheckThroughABalancer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	var nodes []*testNode
	for i := range 3 {
		n := start(t, checkedConfig(c, i, false))
		t.Cleanup(func() { nobodyThere(t, n) })
		nodes = append(nodes, n)
	}
	at, token := balance(t, certificate(t), nodes).URL, tokenMaker(t, nodes[0])
	var all sync.WaitGroup
	for role, args := range map[string][]string{
		"whip": {at + "/pub/tea/alice", "--insecure", "--token", token("pub", "tea", "alice")},
		"whep": {
			at + "/sub/coffee/bob", "--insecure", "--token", token("sub", "coffee", "bob"), "--whep",
			"--publish", at + "/pub/coffee/carol", "--publish-token", token("pub", "coffee", "carol"),
		},
	} {
		all.Go(func() { conforms(t, role, args) })
	}
	all.Wait()
}

// conforms runs the command and insists on every row.
func conforms(t *testing.T, role string, args []string) {
	t.Helper()
	began := time.Now()
	var out, errs bytes.Buffer
	if code := run(append([]string{"check", "--json"}, args...), &out, &errs); code != 0 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	var report check.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Errorf("%v: %s", err, out.String())
		return
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	if report.Role != role || report.Endpoint != args[0] || report.Passed+report.Failed+report.Warnings+report.NotApplicable != len(report.Results) {
		t.Errorf("%s", out.String())
	}
	if failed, text := failures(&report); failed != nil {
		t.Errorf("failed:%s", text)
	}
	if report.Warnings > 0 || report.Passed < 45 {
		t.Errorf("%d rows passed, %d warn", report.Passed, report.Warnings)
	}
	for i := 1; i+1 < len(args); i++ {
		if strings.HasSuffix(args[i], "token") && strings.Contains(out.String()+errs.String(), args[i+1]) {
			t.Error("a token is printed")
		}
	}
	for _, x := range report.Results {
		if x.Statement == "" || x.Evidence == "" || strings.ContainsAny(x.Evidence, "\n\r") {
			t.Errorf("%+v", x)
		}
	}
	if t.Failed() || testing.Verbose() {
		var table bytes.Buffer
		_ = report.WriteTable(&table)
		t.Log(table.String())
	}
}

// nobodyThere waits until a node has no session.
func nobodyThere(t *testing.T, n *testNode) {
	t.Helper()
	await(t, "the last session to end", 5*time.Second, func() bool {
		p, v := n.sessions.Counts()
		return p+v == 0
	})
}

// What the command says when there is nothing to check, or something is wrong.
func TestCheckCommand(t *testing.T) {
	t.Parallel()
	n, token := checkedNode(t, false)
	bare := brokenAnswers()["no rtcp-mux-only"].front(t, n.PublicURL())
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no endpoint":          {nil, 2, "endpoint-url"},
		"not a URL":            {[]string{"ftp://h"}, 2, "must be a URL"},
		"publish without WHEP": {[]string{"http://h", "--publish", "http://h"}, 2, "--publish needs --whep"},
		"bad origin":           {[]string{"http://h", "--origin", "http://h/x"}, 2, "--origin"},
		"nobody there":         {[]string{"http://127.0.0.1:1/pub"}, 1, "does not answer"},
		"nobody live":          {[]string{n.PublicURL() + "/sub/empty/bob", "--whep", "--token", token("sub", "empty", "bob")}, 1, "nobody is live"},
		"too little time":      {[]string{n.PublicURL() + "/pub/milk/alice", "--timeout", "1s", "--token", token("pub", "milk", "alice")}, 1, "see --timeout"},
		"a fault":              {[]string{bare + "/pub/tea/alice", "--token", token("pub", "tea", "alice")}, 1, "W33"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			if code := run(append([]string{"check"}, c.args...), &out, &errs); code != c.code || !strings.Contains(errs.String(), c.says) {
				t.Errorf("exit code %d, want %d; says %s", code, c.code, errs.String())
			}
		})
	}
}

// Who interrupts a check finds no session left behind.
func TestCheckInterrupted(t *testing.T) {
	t.Parallel()
	n, token := checkedNode(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := check.Run(ctx, check.Config{Endpoint: n.PublicURL() + "/pub/tea/alice", Token: token("pub", "tea", "alice")})
		done <- err
	}()
	for range 3 { // in the middle of whatever
		await(t, "a session", 10*time.Second, func() bool {
			p, _ := n.sessions.Counts()
			return p > 0
		})
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, check.ErrUnfinished) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
	nobodyThere(t, n)
}
