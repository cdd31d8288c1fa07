package main

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// volumes is a folder as the image has it.
func volumes(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"admin", "tls"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t *testing.T, name ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(name...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSecrets: what is missing is made, what is there stays, and what was asked for is done.
func TestSecrets(t *testing.T) {
	dir, out := volumes(t), &bytes.Buffer{}
	given := ""
	do := func(hosts ...string) string {
		t.Helper()
		out.Reset()
		if err := run(append([]string{"secrets", dir}, hosts...), func(string) string { return given }, out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	do("localhost,127.0.0.1", "::1", "")
	token, cert := read(t, dir, "admin/admin-token"), read(t, dir, "tls/cert.pem")
	if len(token) < 26 {
		t.Errorf("token %q", token)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls/cert.pem"), filepath.Join(dir, "tls/cert.pem.key")); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "tls/cert.pem.key")); err != nil || info.Mode() != fs.FileMode(mode) {
		t.Errorf("%v, %v", info, err)
	}
	if said := do("localhost", "127.0.0.1"); said != "" || read(t, dir, "tls/cert.pem") != cert || read(t, dir, "admin/admin-token") != token {
		t.Errorf("a second time: %s", said)
	}
	if said := do("192.0.2.1"); !strings.Contains(said, "not for 192.0.2.1") || read(t, dir, "tls/cert.pem") == cert {
		t.Errorf("another host: %s", said)
	}
	given = "chosen"
	if do("192.0.2.1"); read(t, dir, "admin/admin-token") != "chosen" {
		t.Error("the token that was given is not used")
	}
	if strings.Contains(out.String(), "chosen") {
		t.Error("the token is printed")
	}
	given = ""
	if do("192.0.2.1"); read(t, dir, "admin/admin-token") != "chosen" {
		t.Error("a token that was given once is replaced")
	}
	out.Reset()
	if err := certificate(filepath.Join(dir, "tls/cert.pem"), []string{"192.0.2.1"}, time.Now().Add(life-early+time.Hour), out); err != nil || !strings.Contains(out.String(), "expires") {
		t.Errorf("late: %s, %v", out, err)
	}
}

// TestOwnCertificate: a certificate that somebody put there stays.
func TestOwnCertificate(t *testing.T) {
	dir := volumes(t)
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(dir, "tls/cert.pem")
	own := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"secrets", dir, "weever.example.org"}, os.Getenv, &bytes.Buffer{}); err != nil || read(t, file) != own {
		t.Errorf("%v", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  []string
		token string
		fault string
	}{
		{"nothing", nil, "", "usage"},
		{"an unknown word", []string{"make", "it"}, "", "usage"},
		{"a drain without a token", []string{"drain"}, "", "usage"},
		{"a drain with too much", []string{"drain", "a", "1", "1s", "b"}, "", "usage"},
		{"a token that is not there", []string{"drain", filepath.Join(t.TempDir(), "token")}, "", "no such file"},
		{"a port that is none", []string{"drain", os.DevNull, "http"}, "", "invalid port"},
		{"a delay that is none", []string{"drain", os.DevNull, "1", "soon"}, "", "the delay"},
		{"no hosts", []string{"secrets", volumes(t)}, "", "no host"},
		{"no folder", []string{"secrets", t.TempDir(), "localhost"}, "", "no such file"},
		{"a token with a space", []string{"secrets", volumes(t), "localhost"}, "a b", "ADMIN_TOKEN"},
	} {
		if err := run(c.args, func(string) string { return c.token }, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// api is a node's private API, and the environment by which it is found.
func api(t *testing.T, handle http.HandlerFunc) (server *httptest.Server, env map[string]string) {
	t.Helper()
	server = httptest.NewServer(handle)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return server, map[string]string{"WEEVER_PRIVATE_PORT": u.Port()}
}

func TestAlive(t *testing.T) {
	status := http.StatusOK
	server, env := api(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/liveness" {
			t.Errorf("asked for %s", r.URL)
		}
		w.WriteHeader(status)
	})
	alive := func() error { return run([]string{"alive"}, func(k string) string { return env[k] }, io.Discard) }
	for _, env["WEEVER_PRIVATE_HOST"] = range []string{"127.0.0.1", "0.0.0.0", "localhost", ""} {
		if err := alive(); err != nil {
			t.Errorf("%q: %v", env["WEEVER_PRIVATE_HOST"], err)
		}
	}
	status = http.StatusServiceUnavailable
	if alive() == nil {
		t.Error("a node that is not well counts as alive")
	}
	server.Close()
	if alive() == nil {
		t.Error("nobody counts as alive")
	}
}

// TestDrain: the node is asked once, after the delay, with what is in the file; what it says is passed on.
func TestDrain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked []string
	server, env := api(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") != "Bearer sesame" {
			http.Error(w, "bad token", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "empty")
	})
	port := env["WEEVER_PRIVATE_PORT"]
	for _, c := range []struct {
		name, port string // of the environment
		args       []string
		delay      time.Duration
	}{
		{"a port of the environment", port, nil, 0},
		{"a port and a delay", "", []string{port, "50ms"}, 50 * time.Millisecond},
		{"another port", "1", []string{port}, 0},
	} {
		asked, env["WEEVER_PRIVATE_PORT"] = nil, c.port
		began, out := time.Now(), &bytes.Buffer{}
		err := run(append([]string{"drain", file}, c.args...), func(k string) string { return env[k] }, out)
		if err != nil || out.String() != "empty" || len(asked) != 1 || asked[0] != "POST /preStop Bearer sesame" || time.Since(began) < c.delay {
			t.Errorf("%s: %q, %v, %q after %v", c.name, out, err, asked, time.Since(began))
		}
	}
	if err := os.WriteFile(file, []byte("simsim"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := func(string) string { return "" }
	if err := run([]string{"drain", file, port}, none, io.Discard); err == nil || !strings.Contains(err.Error(), ": bad token") || strings.Contains(err.Error(), "simsim") {
		t.Errorf("another token: %v", err)
	}
	server.Close()
	if err := run([]string{"drain", file, port}, none, io.Discard); err == nil {
		t.Error("nobody was drained")
	}
}
