// Package flagval turns the text of one flag into its value, and says what is allowed when it cannot.
//
// Only package config calls it; main takes Secret from it. Every error reads "must be …" and never repeats the text: whether that may be shown is
// for the caller to know.
package flagval

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/pion/stun/v4"

	"weever/mediad/internal/ratelimit"
	"weever/shared/room"
)

// Port is a port number; 0 means "any free one" or "off", as the flag says.
func Port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, errors.New("must be a whole number from 0 to 65535")
	}
	return uint16(n), nil
}

// Count returns a parser of whole numbers from 0 to most.
func Count(most int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > most {
			return 0, fmt.Errorf("must be a whole number from 0 to %d", most)
		}
		return n, nil
	}
}

// Duration returns a parser of durations within bounds.
func Duration(least, most time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d < least || d > most {
			return 0, fmt.Errorf("must be a duration such as 90s or 5m, from %v to %v", least, most)
		}
		return d, nil
	}
}

// Switch is on or off.
func Switch(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, errors.New("must be true or false")
}

// OneOf returns a parser of a fixed set of words.
func OneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		for _, w := range words {
			if s == w {
				return w, nil
			}
		}
		return "", fmt.Errorf("must be one of %s", strings.Join(words, ", "))
	}
}

// Level is a log level.
func Level(s string) (slog.Level, error) {
	if _, err := OneOf("debug", "info", "warn", "error")(s); err != nil {
		return 0, err
	}
	var l slog.Level
	err := l.UnmarshalText([]byte(s))
	return l, err
}

// Listen is an address to listen on: an IP address of this machine, of all of it (0.0.0.0, ::), or localhost, which is 127.0.0.1.
func Listen(s string) (netip.Addr, error) {
	if s == "localhost" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	a, err := netip.ParseAddr(unbracket(s))
	if err != nil {
		return netip.Addr{}, errors.New("must be an IP address of this machine, 0.0.0.0, :: or localhost")
	}
	return a.Unmap(), nil
}

// Unicast is one machine's IP address.
func Unicast(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(unbracket(s))
	if err != nil || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}, errors.New("must be the IP address of one machine")
	}
	return a.Unmap(), nil
}

// PublicIP is one machine's IP address, or "auto", which is the zero address.
func PublicIP(s string) (netip.Addr, error) {
	if s == "auto" {
		return netip.Addr{}, nil
	}
	a, err := Unicast(s)
	if err != nil {
		err = errors.New("must be auto or the IP address of one machine")
	}
	return a, err
}

// Prefix is a range of IP addresses in CIDR form; one address is a range of one.
func Prefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("must be a range such as 10.0.0.0/8 or 2001:db8::/32, or one IP address")
	}
	return p.Masked(), nil
}

// Host is where others reach this machine: an IP address other than "all", or a DNS name.
func Host(s string) (string, error) {
	if a, err := netip.ParseAddr(unbracket(s)); err == nil {
		if a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return "", errors.New("must be an address that others can reach")
		}
		return a.Unmap().String(), nil
	}
	if !domain(s) {
		return "", errors.New("must be an IP address or a DNS name")
	}
	return strings.ToLower(s), nil
}

// Domain is a DNS name without a port, or "*".
func Domain(s string) (string, error) {
	if s != "*" && !domain(s) {
		return "", errors.New("must be a domain such as example.org (its sub-domains are included), localhost or *")
	}
	return strings.ToLower(s), nil
}

// domain reports whether s is a name by RFC 1123 section 2.1; underscores are let through, as container networks use them.
func domain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// Word is a name in the sense of rooms: safe as a Redis key part, a NATS subject token and a Consul id.
func Word(s string) (string, error) {
	if _, err := room.ParseName(s); err != nil {
		return "", fmt.Errorf("must be 1 to %d characters of A-Z a-z 0-9 _ - ~", room.MaxName)
	}
	return s, nil
}

// Pattern is a glob in the form of path.Match.
func Pattern(s string) (string, error) {
	if _, err := path.Match(s, "x"); err != nil || s == "" {
		return "", errors.New("must be the name of an interface, or a pattern such as eth* or en[op]*")
	}
	return s, nil
}

// Rates are one or two request rates, "<per client>[,<per node>]", each as "200/s", "50/m", "10/h" or "off".
func Rates(s string) ([]ratelimit.Rate, error) {
	var rates []ratelimit.Rate
	for part := range strings.SplitSeq(s, ",") {
		r, err := oneRate(strings.TrimSpace(part))
		if err != nil || len(rates) == 2 {
			return nil, errRates
		}
		rates = append(rates, r)
	}
	return rates, nil
}

var errRates = errors.New("must be one or two rates such as 200/s or 600/m (per client, per node), or off")

func oneRate(s string) (ratelimit.Rate, error) {
	if s == "off" {
		return ratelimit.Rate{}, nil
	}
	number, unit, _ := strings.Cut(s, "/")
	per, ok := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	n, err := strconv.ParseUint(number, 10, 31)
	if !ok || err != nil || n == 0 {
		return ratelimit.Rate{}, errRates
	}
	return ratelimit.Rate{Count: int(n), Per: per}, nil
}

// ICEServer is the URI of a STUN or TURN server (RFC 7064, RFC 7065).
func ICEServer(s string) (string, error) {
	u, err := stun.ParseURI(s)
	if err == nil { // the parser takes any host, and drops what is behind "#"
		_, err = Host(u.Host)
	}
	if err != nil || u.Port < 1 || u.Port > 65535 || !strings.HasPrefix(s, u.Scheme.String()+":") || strings.Contains(s, "#") {
		return "", errors.New("must be a URI such as stun:host:3478, turn:host:3478?transport=udp or turns:host:443?transport=tcp")
	}
	return s, nil
}

// STUN is the URI of a STUN server; "stun:" may be left out.
func STUN(s string) (string, error) {
	if !strings.HasPrefix(s, "stun:") {
		s = "stun:" + s
	}
	u, err := stun.ParseURI(s)
	if err != nil || u.Scheme != stun.SchemeTypeSTUN || u.Port < 1 || u.Port > 65535 {
		return "", errors.New("must be a URI such as stun:host:3478")
	}
	return s, nil
}

// WebURL is an absolute http or https URL with a host.
func WebURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return nil, errors.New("must be a URL such as https://host:8443")
	}
	return u, nil
}

// KeySetURL is where signing keys are fetched: https, or http to this machine.
func KeySetURL(s string) (*url.URL, error) {
	u, err := WebURL(s)
	if err == nil && u.Scheme == "http" {
		if a, aerr := Listen(u.Hostname()); aerr != nil || !a.IsLoopback() {
			err = errors.New("plain http")
		}
	}
	if err != nil {
		return nil, errors.New("must be a URL such as https://host/.well-known/jwks.json; plain http only to this machine")
	}
	return u, nil
}

// NATS is the URL of one NATS server; without a scheme it is nats://. It may hold a password.
func NATS(s string) (string, error) {
	allowed := errors.New("must be URLs such as nats://host:4222 or tls://user:password@host:4222, separated by commas")
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || (u.Path != "" && u.Path != "/") {
		return "", allowed
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
		return s, nil
	}
	return "", allowed
}

// Consul is the address of a Consul agent.
func Consul(s string) (string, error) {
	allowed := errors.New("must be host:port, http://host:port, https://host:port or unix:///path of a Consul agent, without a password")
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case found && scheme == "unix" && strings.HasPrefix(rest, "/"):
		return s, nil
	case !found:
		scheme, rest = "http", s
	}
	u, err := WebURL(scheme + "://" + rest)
	if err != nil || u.User != nil || u.RawQuery != "" {
		return "", allowed
	}
	return s, nil
}

func unbracket(s string) string {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		return s[1 : len(s)-1]
	}
	return s
}
