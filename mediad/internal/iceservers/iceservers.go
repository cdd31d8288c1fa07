// Package iceservers tells clients their STUN and TURN servers as Link headers.
//
// Package httpapi puts the values of List.Links into its replies (RFC 9725 section 4.6), to those only who have shown a valid token:
// they hold credentials. main makes the List; it does not change.
package iceservers

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultTTL is how long credentials last when Config does not say: longer than a day's meetings, so that an ICE restart late in a
// session still gets its relay. TURN servers check it when an allocation begins and when it is refreshed.
const DefaultTTL = 12 * time.Hour

// KeyFormat is how a credential is written.
type KeyFormat string

// The formats. TURN servers must be told the same one: coturn and most others know Base64 only.
const (
	Base64   KeyFormat = "base64"   // with "=" at the end, on which some clients split the header and lose it
	Unpadded KeyFormat = "unpadded" // the same without "="
	Hex      KeyFormat = "hex"
)

// Config is what clients are told.
type Config struct {
	Servers []string // URIs of RFC 7064 and RFC 7065, told as they are

	// Secret is what we share with the TURN servers (coturn: static-auth-secret). Empty: they are told without credentials.
	Secret string
	TTL    time.Duration // of credentials; 0: DefaultTTL
	Format KeyFormat     // empty: Base64
}

// List is the servers of a node. Its methods may be called at the same time.
type List struct {
	servers []server
	secret  []byte
	ttl     time.Duration
	encode  func([]byte) string
}

// server is one URI and whether it asks for credentials.
type server struct {
	uri  string
	turn bool
}

// New checks cfg; its error lists everything that is wrong with it, without the secret.
func New(cfg Config) (*List, error) {
	l := &List{secret: []byte(cfg.Secret), ttl: cmp.Or(cfg.TTL, DefaultTTL)}
	var faults []error
	if l.ttl < time.Second {
		faults = append(faults, fmt.Errorf("ICE servers: credentials that last %v are of no use", cfg.TTL))
	}
	switch cmp.Or(cfg.Format, Base64) {
	case Base64:
		l.encode = base64.StdEncoding.EncodeToString
	case Unpadded:
		l.encode = base64.RawStdEncoding.EncodeToString
	case Hex:
		l.encode = hex.EncodeToString
	default:
		faults = append(faults, fmt.Errorf("ICE servers: the format of keys must be %s, %s or %s", Base64, Unpadded, Hex))
	}
	for _, uri := range cfg.Servers {
		s, err := parse(uri)
		if err != nil {
			faults = append(faults, err)
		}
		l.servers = append(l.servers, s)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return l, nil
}

// parse takes a URI that stays between the "<" and ">" of a header. Commas and semicolons, which no server's name has, would be legal
// there, but many clients split the header on them.
func parse(uri string) (server, error) {
	scheme, rest, _ := strings.Cut(uri, ":")
	known := scheme == "stun" || scheme == "stuns" || scheme == "turn" || scheme == "turns"
	for _, c := range []byte(rest) {
		if !alphanumeric(c) && !strings.ContainsRune("-._~:[]?=%", rune(c)) {
			known = false
		}
	}
	if !known || rest == "" {
		return server{}, fmt.Errorf("ICE servers: %q must be a URI such as stun:host:3478 or turn:host:3478?transport=udp", uri)
	}
	return server{uri: uri, turn: strings.HasPrefix(scheme, "turn")}, nil
}

// Links returns the values of the Link headers for a client, one for each server and in their order, none when there are no servers:
//
//	<turn:host:3478?transport=udp>; rel="ice-server"; username="1790000000:alice"; credential="…"; credential-type="password"
//
// User is the full id that the client goes by in the room; the TURN servers see it, with the time at which the credentials end (now
// plus the TTL) before it. Credentials follow the TURN REST API (draft-uberti-behave-turn-rest-00 section 2.2): whoever knows the
// secret can check them.
//
// A value can stand in a header whatever user is: bytes that are no visible ASCII become "_", quotes are escaped (RFC 9110 section
// 5.6.4).
func (l *List) Links(user string, now time.Time) []string {
	username := strconv.FormatInt(now.Add(l.ttl).Unix(), 10) + ":" + visible(user)
	account := `; username=` + quoted(username) + `; credential=` + quoted(l.credential(username)) + `; credential-type="password"`
	links := make([]string, 0, len(l.servers))
	for _, s := range l.servers {
		link := "<" + s.uri + `>; rel="ice-server"`
		if s.turn && len(l.secret) > 0 {
			link += account
		}
		links = append(links, link)
	}
	return links
}

func (l *List) credential(username string) string {
	mac := hmac.New(sha1.New, l.secret) // the draft's choice; as an HMAC, SHA-1 holds
	mac.Write([]byte(username))
	return l.encode(mac.Sum(nil))
}

// visible replaces what a TURN server's SASLprep could change or refuse (RFC 8265 section 4.1), blanks and controls among it.
func visible(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c <= ' ' || c > '~' {
			b[i] = '_'
		}
	}
	return string(b)
}

// quoted is a visible text as a quoted-string (RFC 9110 section 5.6.4).
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
