// Package auth makes, hides and compares bearer tokens.
//
// It knows neither Redis nor what a token opens: shared/tokens keeps the hashes, the HTTP handlers ask it who may pass.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
)

// Grant is what a token allows beside coming in.
type Grant struct {
	Say bool // to speak to the others of the room by SAY
}

// NewToken makes an unguessable token of at least 128 random bits, in characters that need no escaping in URLs and headers.
func NewToken() string { return rand.Text() }

// Hash is what is stored in a token's place: its SHA-256 in hex. Who reads the store cannot use it as a token.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Equal compares two secrets in a time that depends neither on where they differ nor on their lengths.
// The empty string equals nothing, itself included: a secret that was never set opens no door.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	same := subtle.ConstantTimeCompare(x[:], y[:]) == 1
	return same && a != ""
}

// Bearer returns the token of the request's Authorization header (RFC 6750 section 2.1; the scheme's case does not matter,
// RFC 9110 section 11.1). It returns "" when there is none, when the scheme is another, and when there are several such
// headers, of which nobody could say which one a proxy before us has checked.
func Bearer(r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
