// Command helper does for containers what their images have no shell for: it makes the secrets of an installation, asks a node whether it
// lives, and drains it.
package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

const usage = `usage: helper secrets DIR [HOST…]           make DIR/admin/admin-token and DIR/tls/cert.pem for the hosts, unless they are there
       helper alive                        ask the node for /liveness
       helper drain FILE [PORT [DELAY]]    wait for the delay, drain the node, and return when that is done; the admin token is in FILE
The node is that of WEEVER_PRIVATE_HOST and WEEVER_PRIVATE_PORT, or 127.0.0.1 and 9443.`

// node is how a node is asked: with no proxy, whatever the environment says, for it is here, and the token is for nobody else.
var node = http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func main() {
	if err := run(os.Args[1:], os.Getenv, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(args []string, getenv func(string) string, stdout io.Writer) error {
	switch {
	case len(args) > 1 && args[0] == "secrets":
		return secrets(args[1], hosts(args[2:]), getenv("ADMIN_TOKEN"), stdout)
	case len(args) == 1 && args[0] == "alive":
		return alive(base(getenv, ""))
	case len(args) > 1 && len(args) < 5 && args[0] == "drain":
		rest := append(slices.Clone(args[2:]), "", "")
		return drain(base(getenv, rest[0]), args[1], rest[1], stdout)
	}
	return fmt.Errorf("not understood: %q\n%s", args, usage)
}

// hosts splits lists at commas and leaves out what is empty.
func hosts(args []string) (list []string) {
	return strings.FieldsFunc(strings.Join(args, ","), func(r rune) bool { return r == ',' || r == ' ' })
}

// base is the URL of the private API.
func base(getenv func(string) string, port string) string {
	host := getenv("WEEVER_PRIVATE_HOST")
	if a, err := netip.ParseAddr(host); err != nil || a.IsUnspecified() { // not given, localhost, or all addresses
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, cmp.Or(port, getenv("WEEVER_PRIVATE_PORT"), "9443"))
}

// alive succeeds when the node answers with 200 within 2 s.
func alive(base string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return ask(ctx, http.MethodGet, base+"/liveness", "", io.Discard)
}

// drain waits, then returns when the node is empty. However long that takes: who calls has a limit of its own, and the node has one, too.
// A request that comes twice joins the drain that is on.
func drain(base, file, after string, stdout io.Writer) error {
	token, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	delay, err := time.ParseDuration(cmp.Or(after, "0s"))
	if err != nil {
		return fmt.Errorf("the delay: %w", err)
	}
	time.Sleep(delay)
	return ask(context.Background(), http.MethodPost, base+"/preStop", strings.TrimSpace(string(token)), stdout)
}

// ask makes a request; an answer that is not 200 is an error.
func ask(ctx context.Context, method, url, token string, stdout io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := node.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		return fmt.Errorf("%s: %s: %s", req.URL.Path, resp.Status, bytes.TrimSpace(body))
	}
	_, err = io.Copy(stdout, resp.Body)
	return err
}
