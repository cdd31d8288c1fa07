// Package jwtauth checks JWTs in place of stored tokens.
//
// Package httpapi asks a Checker who may pass where it would else ask the store; main makes it when a secret or a key set is
// configured, and runs it until the node stops. The checks follow RFC 8725 (JWT best practices); the JOSE library's JSON is strict:
// names that come twice or in another case are refused.
package jwtauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/room"
)

const (
	maxToken   = 8 << 10         // bytes
	retryAfter = 2 * time.Second // what clients are told while keys are away
)

// Kicks remembers kicks; the node's store does.
type Kicks interface {
	// KickedAt is when the person was last kicked; the zero time when that was never, or more than 30 days ago.
	KickedAt(context.Context, room.Name, room.Role, room.ID) (time.Time, error)
}

// Config is what a Checker works with. Secret or JWKSURL must be there; with both, the algorithm in a token's header says which of
// them it is checked against.
type Config struct {
	Secret  string   // checks HS256; empty: no token is signed with a secret
	JWKSURL *url.URL // key set that checks RS, PS, ES256, ES384 and EdDSA: https, or http on loopback; nil: none

	// Client fetches the key set; nil takes one of our own. Its Transport is used as it is, but not its rules for redirects: only https
	// (from plain http: only loopback) is followed.
	Client *http.Client

	Audience string // the aud that a token must name; empty: not checked
	Issuer   string // the iss that a token must have; empty: not checked

	Kicks Kicks
	Log   *slog.Logger // nil: nothing is logged
}

// Checker checks JWTs. Its methods may be called at the same time.
type Checker struct {
	conf   Config
	algs   []jose.SignatureAlgorithm // allowed in headers
	secret []byte                    // nil: no HS256
	keys   *keySource                // nil: no key set
}

// New makes a Checker; it fetches nothing yet. Its error lists everything that is wrong with cfg, without the secret.
func New(cfg Config) (*Checker, error) { return newChecker(cfg, usualPace()) }

func newChecker(cfg Config, p pace) (*Checker, error) {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	c := &Checker{conf: cfg}
	var faults []error
	if cfg.Kicks == nil {
		faults = append(faults, errors.New("JWT: the memory of kicks is missing"))
	}
	if cfg.Secret == "" && cfg.JWKSURL == nil {
		faults = append(faults, errors.New("JWT: a secret or the URL of a key set is needed"))
	}
	if cfg.Secret != "" {
		c.secret = hmacKey(cfg.Secret)
		c.algs = append(c.algs, jose.HS256)
	}
	if cfg.JWKSURL != nil {
		if !trustworthy(cfg.JWKSURL, true) {
			faults = append(faults, errors.New("JWT: the key set's URL must be https, or plain http to this machine"))
		}
		c.keys = newKeySource(cfg.JWKSURL, cfg.Client, p, cfg.Log)
		c.algs = append(c.algs, keySetAlgs()...)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return c, nil
}

// hmacKey is the secret as the library takes it. The library wants 32 bytes at least (RFC 7518 section 3.2); whoever configured less was
// warned, and zeros at the end do not change the result (RFC 2104 section 2 pads the key with them).
func hmacKey(secret string) []byte {
	const least = 32
	key := []byte(secret)
	return append(key, make([]byte, max(0, least-len(key)))...)
}

// Run fetches the key set, at once and then again and again, until ctx ends; then it returns nil. Without a key set it only waits.
// Keys are kept while their URL is away; a key that the set no longer holds stops working with the next fetch that succeeds.
func (c *Checker) Run(ctx context.Context) error {
	if c.keys == nil {
		<-ctx.Done()
		return nil
	}
	c.keys.run(ctx)
	return nil
}

// CheckToken is nil when token lets the person into the room in this role: signed by one of our keys, in time, issued for exactly this room,
// role and id, and issued after the person was last kicked. It fails with apierr.BadToken when it does not, and with
// apierr.Unavailable when keys or kicks cannot be looked up. Details never repeat what is in the token.
//
// It may wait for a fetch of the key set, two seconds at most, when the token names a key nobody has seen yet; tokens of known keys
// never wait.
//
// A kick may come between this check and the incarnation of the session that it lets in, and such a session would be newer than
// the kick: who takes an incarnation after the check must check once more, before the session sends or receives anything.
func (c *Checker) CheckToken(ctx context.Context, rm room.Name, role room.Role, id room.ID, token string) (auth.Grant, error) {
	if token == "" {
		return auth.Grant{}, bad("send the token that was issued for this id as Authorization: Bearer <token>")
	}
	if len(token) > maxToken {
		return auth.Grant{}, bad("the token is longer than %d bytes", maxToken)
	}
	parsed, err := jwt.ParseSigned(token, c.algs)
	if err != nil {
		return auth.Grant{}, c.unreadable(err)
	}
	header := parsed.Headers[0] // the compact form has one signature
	keys := []any{c.secret}
	if alg := jose.SignatureAlgorithm(header.Algorithm); alg != jose.HS256 {
		if keys, err = c.keys.find(ctx, header.KeyID, alg); err != nil {
			return auth.Grant{}, err
		}
	}
	claims, err := verified(parsed, keys)
	if err != nil {
		return auth.Grant{}, err
	}
	if err := claims.check(c.conf.Audience, c.conf.Issuer, time.Now()); err != nil {
		return auth.Grant{}, err
	}
	if err := claims.fit(rm, role, id); err != nil {
		return auth.Grant{}, err
	}
	kicked, err := c.conf.Kicks.KickedAt(ctx, rm, role, id)
	if err != nil {
		return auth.Grant{}, unavailable(err)
	}
	// To the second, as iat is; and the clock of the issuer may be ahead, so that a token from before the kick looks newer.
	if !kicked.IsZero() && claims.IssuedAt.Time().Unix() <= kicked.Add(leeway).Unix() {
		return auth.Grant{}, bad("this id was kicked; only a token issued (iat) at least %d seconds after that lets it in", leeway/time.Second+1)
	}
	return auth.Grant{Say: claims.Say}, nil
}

// unreadable says why the library did not take the token. Its text may quote the token, so it goes nowhere.
func (c *Checker) unreadable(err error) error {
	var alg *jose.ErrUnexpectedSignatureAlgorithm
	if errors.As(err, &alg) {
		return bad("the token's algorithm (alg) is not allowed; allowed are %v", c.algs)
	}
	return bad("the token cannot be read; it must be a signed JWT: three parts in base64url, with JSON in which no name comes twice")
}

// verified returns the claims once one of the keys has proven the signature.
func verified(token *jwt.JSONWebToken, keys []any) (*claims, error) {
	for _, key := range keys {
		c := new(claims)
		err := token.Claims(key, c)
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, jose.ErrUnsupportedCriticalHeader):
			return nil, bad("the token asks for an extension (crit) that is not known here")
		case !errors.Is(err, jose.ErrCryptoFailure):
			return nil, bad("the token's claims cannot be read: one has the wrong type or comes twice")
		}
	}
	return nil, bad("the token's signature is wrong: it was signed with another key, or changed")
}

// trustworthy reports whether keys may come from u: over https, or, where plain says so, from this machine.
func trustworthy(u *url.URL, plain bool) bool {
	return u.Hostname() != "" && (u.Scheme == "https" || plain && u.Scheme == "http" && isLoopback(u.Hostname()))
}

// keySetAlgs are the algorithms of key sets: all asymmetric, so that nobody's public key can pass for a secret.
func keySetAlgs() []jose.SignatureAlgorithm {
	return slices.Concat(rsaAlgs(), []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.EdDSA})
}

func rsaAlgs() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
}

func bad(format string, args ...any) error { return apierr.New(apierr.BadToken, format, args...) }

// unavailable passes on what the store says of itself, and hides the cause of anything else.
func unavailable(cause error) error {
	var e *apierr.Error
	if errors.As(cause, &e) {
		return cause
	}
	return apierr.Wrap(apierr.Unavailable, fmt.Errorf("look up kick: %w", cause), "the token cannot be checked now; try again").After(retryAfter)
}
