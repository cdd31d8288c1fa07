// Package publicip finds the public address of this machine: from its cloud's metadata service, else from a STUN server.
//
// Main asks once at the start, for `--public-ip auto`. A cloud's 1:1 NAT hides the address from the machine itself.
package publicip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const (
	// metadataURL is the link-local address that the clouds agree on.
	metadataURL   = "http://169.254.169.254"
	metadataLimit = 3 * time.Second // outside of a cloud nobody answers there
	maxBody       = 64 << 10
)

// errNone is what an answer without a public address means: the machine has none.
var errNone = errors.New("no public address is assigned")

// Config says whom to ask.
type Config struct {
	STUN string // URI or host:port of a STUN server; empty: none is asked

	// Metadata replaces the base URL of the metadata service; empty: the clouds' own.
	Metadata string
}

// Discover asks all known clouds at once and, when none knows a public address, the STUN server. It blocks for a few seconds at
// most. The error says what each of them answered.
func Discover(ctx context.Context, c Config) (netip.Addr, error) {
	addr, err := askClouds(ctx, c.Metadata)
	if err == nil {
		return addr, nil
	}
	if c.STUN == "" {
		return netip.Addr{}, fmt.Errorf("publicip: no cloud told this machine's public address, and no --stun server is given: %w", err)
	}
	addr, serr := askSTUN(ctx, c.STUN)
	if serr != nil {
		return netip.Addr{}, fmt.Errorf("publicip: neither a cloud nor the STUN server told this machine's public address: %w",
			errors.Join(err, fmt.Errorf("%s: %w", c.STUN, serr)))
	}
	return addr, nil
}

// clouds are asked at once; of several that answer the first in the list counts.
var clouds = []struct {
	name string
	ask  func(context.Context, *metadata) (string, error)
}{
	{"AWS", askAWS},
	{"GCP", askGCP},
	{"Azure", askAzure},
	{"DigitalOcean", askDigitalOcean},
	{"Hetzner", askHetzner},
}

func askClouds(ctx context.Context, base string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataLimit)
	defer cancel()
	if base == "" {
		base = metadataURL
	}
	// No proxy: the address means another machine to a proxy. No redirects: the service has none.
	m := &metadata{base: base, client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	type answer struct {
		addr netip.Addr
		err  error
	}
	answers := make([]chan answer, len(clouds))
	for i, cloud := range clouds {
		answers[i] = make(chan answer, 1)
		go func() { // ends with its request, which ends with ctx
			text, err := cloud.ask(ctx, m)
			if err == nil {
				var addr netip.Addr
				if addr, err = public(text); err == nil {
					answers[i] <- answer{addr: addr}
					return
				}
			}
			answers[i] <- answer{err: fmt.Errorf("%s: %w", cloud.name, err)}
		}()
	}
	var found netip.Addr
	var faults []error
	for _, ch := range answers {
		a := <-ch // all are awaited, so that no goroutine outlives the call
		switch {
		case a.err != nil:
			faults = append(faults, a.err)
		case !found.IsValid():
			found = a.addr
			cancel()
		}
	}
	if found.IsValid() {
		return found, nil
	}
	return netip.Addr{}, errors.Join(faults...)
}

// public parses an address and refuses those that cannot be reached from the internet.
func public(text string) (netip.Addr, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return netip.Addr{}, errNone
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, errors.New("the answer is not an IP address")
	}
	addr = addr.Unmap()
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%v is not a public address", addr)
	}
	return addr, nil
}

// metadata is a metadata service.
type metadata struct {
	base   string
	client *http.Client
}

// do sends one request and returns the body of a 200 whose header fits; headers are name, value, name, value…
func (m *metadata) do(ctx context.Context, method, path string, headers ...string) (string, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, m.base+path, nil)
	if err != nil {
		return "", nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return "", nil, errors.Unwrap(err) // without the URL, which says nothing
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return "", nil, errNone
	}
	if resp.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("answered %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return string(body), resp.Header, err
}
