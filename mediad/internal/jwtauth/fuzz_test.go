package jwtauth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"weever/shared/apierr"
	"weever/shared/room"
)

// fixedKey is the same in every process of a fuzzing run.
func fixedKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// Nothing makes Check panic, and whatever it lets in was signed by a key of ours and is for alice publishing in tea: proven with Go's
// own cryptography.
func FuzzCheck(f *testing.F) {
	mine, theirs := fixedKey(1), fixedKey(2)
	cfg := Config{Secret: secret, JWKSURL: must(url.Parse("https://issuer.example/")), Kicks: neverKicked{}}
	c := must(New(cfg))
	c.keys.keys, c.keys.err, c.keys.restless = keySet{{id: "ed", algs: []jose.SignatureAlgorithm{jose.EdDSA}, public: mine.Public()}}, nil, time.Now().Add(24*time.Hour)

	claims := asJSON(payload(nil))
	f.Add(good(f))
	f.Add(issue(f, jose.EdDSA, mine, "ed", payload(nil)))
	f.Add(issue(f, jose.EdDSA, mine, "", payload(map[string]any{"say": true, "aud": []string{"a"}, "nbf": 1.5})))
	f.Add(issue(f, jose.EdDSA, theirs, "ed", payload(nil)))
	f.Add(issue(f, jose.HS256, []byte(mine.Public().(ed25519.PublicKey)), "ed", payload(nil)))
	f.Add(b64(`{"alg":"none"}`) + "." + b64(claims) + ".")
	f.Add(craft(`{"alg":"HS256","crit":["b64"],"b64":false}`, claims, []byte(secret)))
	f.Add(craft(`{"alg":"HS256","jwk":{"kty":"oct","k":"AA"},"x5c":["AA"],"kid":7}`, claims, []byte(secret)))
	f.Add(craft(`{"alg":"HS256"}`, `{"exp":1e999,"iat":-0.0,"room":"tea","room":"tea"}`, []byte(secret)))
	f.Add("..")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		_, err := c.CheckToken(t.Context(), tea, room.Pub, alice, token)
		var e *apierr.Error
		if err != nil {
			if !errors.As(err, &e) || e.Code != apierr.BadToken || e.Err != nil {
				t.Errorf("%v", err)
			}
			return
		}
		parts := strings.Split(token, ".")
		decode := func(i int) []byte { return must(base64.RawURLEncoding.DecodeString(parts[i])) }
		signed := []byte(b64(string(decode(0))) + "." + b64(string(decode(1))))
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(signed)
		if !hmac.Equal(mac.Sum(nil), decode(2)) && !ed25519.Verify(mine.Public().(ed25519.PublicKey), signed, decode(2)) {
			t.Errorf("not signed by us: %q", token)
		}
		var m struct{ Room, ID, Role string }
		if json.Unmarshal(decode(1), &m) != nil || m.Room != "tea" || m.ID != "alice" || m.Role != "pub" {
			t.Errorf("not for alice publishing in tea: %q", token)
		}
	})
}

// Whatever is signed properly is judged without a panic, and lets nobody in for longer than a kick is remembered.
func FuzzClaims(f *testing.F) {
	c := bySecret(f, nil)
	f.Add(`{"alg":"HS256"}`, asJSON(payload(nil)))
	for _, claims := range []string{
		`{"room":"tea","id":"alice","role":"pub","exp":1e18,"iat":0}`, `{"room":"tea","id":"alice","role":"pub","exp":-1,"iat":1e300,"nbf":"x"}`,
		`{"aud":[[]],"say":{}}`, `{"exp":4611686018427386880,"iat":-4611686018427386880}`, `[]`, `{"room":null}`, `{"room":"\ud800"}`,
	} {
		f.Add(`{"alg":"HS256","kid":"x"}`, claims)
	}
	f.Fuzz(func(t *testing.T, header, claims string) {
		if check(t, c, craft(header, claims, []byte(secret))) != nil {
			return
		}
		var m struct {
			Exp float64 `json:"exp"`
			Iat float64 `json:"iat"`
		}
		if err := json.Unmarshal([]byte(claims), &m); err != nil {
			t.Fatal(err)
		}
		now := float64(time.Now().Unix())
		if m.Exp-m.Iat > 30*24*3600+1 || m.Exp < now-10 || m.Iat > now+10 {
			t.Errorf("let in: %s", claims)
		}
	})
}

// A key set of any content is read without a panic, and gives keys that can be used as they say.
func FuzzKeySet(f *testing.F) {
	f.Add([]byte(asJSON(map[string]any{"keys": []any{jwk("ed", "EdDSA", fixedKey(1).Public()), jwk("ec", "", ecKey().Public()), jwk("rsa", "RS256", rsaKey().Public())}})))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},null,7]}`))
	f.Add([]byte(`{"keys":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, skipped, err := parseKeySet(body)
		if err != nil {
			return
		}
		if len(keys)+skipped > maxKeys {
			t.Errorf("%d keys", len(keys)+skipped)
		}
		for _, k := range keys {
			if len(k.algs) == 0 {
				t.Errorf("a key for nothing: %+v", k)
			}
			for _, alg := range k.algs {
				_, err := must(jose.ParseSignedCompact(b64(`{"alg":"`+string(alg)+`"}`)+"."+b64("{}")+"."+b64("x"), keySetAlgs())).Verify(k.public)
				if !errors.Is(err, jose.ErrCryptoFailure) {
					t.Errorf("%s with %T: %v", alg, k.public, err)
				}
			}
		}
	})
}
