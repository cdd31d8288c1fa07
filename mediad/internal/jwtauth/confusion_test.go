package jwtauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestEveryAlgorithmOfAKeySet(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	c := running(t, s.config(t), slow())
	for _, alg := range keySetAlgs() {
		var key any = rsaKey()
		kid := "rsa"
		switch alg {
		case jose.ES256:
			key, kid = ecKey(), "ec"
		case jose.ES384:
			key, kid = ec384Key(), "ec384"
		case jose.EdDSA:
			key, kid = edKey(), "ed"
		}
		wantGood(t, c, issue(t, alg, key, kid, payload(nil)))
		wantGood(t, c, issue(t, alg, key, "", payload(nil))) // one key fits: it need not be named
	}
	wantBad(t, c, issue(t, jose.RS256, rsaOther(), "rsa", payload(nil)), "signature is wrong")
	wantBad(t, c, issue(t, jose.RS256, rsaOther(), "", payload(nil)), "signature is wrong")
	wantBad(t, c, good(t), "not allowed")
}

// The algorithm of the header picks the key; nothing else in a token does.
func TestBothSources(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	cfg := s.config(t)
	cfg.Secret = secret
	c := running(t, cfg, slow())
	wantGood(t, c, good(t))
	wantGood(t, c, issue(t, jose.HS256, []byte(secret), "rsa", payload(nil)))
	wantGood(t, c, issue(t, jose.RS256, rsaKey(), "rsa", payload(nil)))
}

// publicForms are the ways in which a public key is written: what an attacker would use as a secret.
func publicForms(t *testing.T) map[string][]byte {
	t.Helper()
	forms := map[string][]byte{}
	for name, key := range map[string]any{"rsa": rsaKey().Public(), "ec": ecKey().Public(), "ed": edKey().Public()} {
		der := must(x509.MarshalPKIXPublicKey(key))
		p := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		forms[name+" der"], forms[name+" pem"], forms[name+" pem without its end"] = der, p, []byte(strings.TrimSpace(string(p)))
		forms[name+" jwk"] = []byte(asJSON(jwk(name, "", key)))
	}
	p1 := x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)
	forms["pkcs1 der"] = p1
	forms["pkcs1 pem"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: p1})
	forms["modulus"] = rsaKey().N.Bytes()
	forms["ed raw"] = edKey().Public().(ed25519.PublicKey)
	forms["empty"] = nil
	return forms
}

func TestAPublicKeyIsNoSecret(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	only := running(t, s.config(t), slow())
	cfg := s.config(t)
	cfg.Secret = secret
	both := running(t, cfg, slow())
	for name, form := range publicForms(t) {
		for _, kid := range []string{"", "rsa", "ec", "ed"} {
			header := asJSON(map[string]string{"alg": "HS256", "typ": "JWT", "kid": kid})
			t.Run(name+" kid "+kid, func(t *testing.T) {
				wantBad(t, only, craft(header, asJSON(payload(nil)), form), "not allowed")
				wantBad(t, both, craft(header, asJSON(payload(nil)), form), "signature is wrong")
			})
		}
	}
}

// Key sets may hold secrets (kty oct) by mistake; whoever can fetch the set has them.
func TestASecretInTheKeySetIsNone(t *testing.T) {
	shared := []byte(strings.Repeat("s", 32))
	private := jose.JSONWebKey{Key: rsaOther(), KeyID: "leaked", Use: "sig"}
	s := serveKeys(t, append(allKeys(), jose.JSONWebKey{Key: shared, KeyID: "oct", Algorithm: "HS256"}, private)...)
	cfg := s.config(t)
	cfg.Secret = secret
	for _, c := range []*Checker{running(t, s.config(t), slow()), running(t, cfg, slow())} {
		for token, words := range map[string]string{
			issue(t, jose.HS256, shared, "oct", payload(nil)):        "",
			issue(t, jose.RS256, rsaOther(), "leaked", payload(nil)): "no key with the token's key id",
		} {
			wantBad(t, c, token, words)
		}
	}
}

func TestAlgorithmsThatAreNone(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	cfg := s.config(t)
	cfg.Secret = secret
	c := running(t, cfg, slow())
	claims := asJSON(payload(nil))
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `""`, `"HS384"`, `"HS512"`, `"hs256"`, `"HS256 "`, `"ES512"`, `"RSA1_5"`, `"dir"`, `"echo"`} {
		header := `{"typ":"JWT","kid":"rsa","alg":` + alg + `}`
		wantBad(t, c, b64(header)+"."+b64(claims)+".", "not allowed")
		wantBad(t, c, craft(header, claims, []byte(secret)), "not allowed")
	}
	for _, header := range []string{`{"typ":"JWT"}`, `{"alg":null}`, `{"alg":7}`, `{"alg":{}}`} {
		if check(t, c, craft(header, claims, []byte(secret))) == nil || check(t, c, b64(header)+"."+b64(claims)+".") == nil {
			t.Errorf("header %s passed", header)
		}
	}
	for _, token := range []string{".", "..", "a.b.c", b64(claims), good(t) + ".", "." + good(t), good(t) + "." + good(t), strings.Repeat(".", 4), "Bearer " + good(t), good(t) + "=", " " + good(t)} {
		wantBad(t, c, token, "")
	}
}

// A key is used as its type, its alg and its use say, whatever the token says.
func TestKeysFitTheirAlgorithm(t *testing.T) {
	enc := jwk("enc", "", rsaKey().Public())
	enc.Use = "enc"
	s := serveKeys(
		t, jwk("pinned", "RS256", rsaKey().Public()), jwk("ec", "", ecKey().Public()), jwk("ed", "", edKey().Public()), enc,
		jwk("lies", "ES256", rsaKey().Public()), jwk("oaep", "RSA-OAEP", rsaKey().Public()),
	)
	c := running(t, s.config(t), slow())
	wantGood(t, c, issue(t, jose.RS256, rsaKey(), "pinned", payload(nil)))
	for _, token := range []string{
		issue(t, jose.RS512, rsaKey(), "pinned", payload(nil)),
		issue(t, jose.PS256, rsaKey(), "pinned", payload(nil)),
		issue(t, jose.RS256, rsaKey(), "enc", payload(nil)),
		issue(t, jose.RS256, rsaKey(), "lies", payload(nil)),
		issue(t, jose.RS256, rsaKey(), "oaep", payload(nil)),
		issue(t, jose.RS256, rsaKey(), "ec", payload(nil)),
		issue(t, jose.ES256, ecKey(), "pinned", payload(nil)),
		issue(t, jose.ES256, ecKey(), "ed", payload(nil)),
		issue(t, jose.ES384, ec384Key(), "ec", payload(nil)),
		issue(t, jose.EdDSA, edKey(), "ec", payload(nil)),
	} {
		wantBad(t, c, token, "no key with the token's key id")
	}
	wantBad(t, c, issue(t, jose.PS256, rsaKey(), "", payload(nil)), "no key for the token's algorithm")
}

// What a token says about where its key is to be found is not followed.
func TestKeysInTokensAreIgnored(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	attacker := serveKeys(t, jwk("rsa", "", rsaOther().Public()))
	c := running(t, s.config(t), slow())
	forge := func(kid string, embed bool, headers map[jose.HeaderKey]any) string {
		opt := &jose.SignerOptions{EmbedJWK: embed, ExtraHeaders: headers}
		if kid != "" {
			opt.WithHeader("kid", kid)
		}
		return sign(jose.RS256, rsaOther(), opt, payload(nil))
	}
	for _, kid := range []string{"", "rsa"} {
		wantBad(t, c, forge(kid, true, nil), "signature is wrong")
		wantBad(t, c, forge(kid, false, map[jose.HeaderKey]any{"jku": attacker.URL}), "signature is wrong")
		wantBad(t, c, forge(kid, false, map[jose.HeaderKey]any{"x5u": attacker.URL}), "signature is wrong")
	}
	for _, crit := range []any{[]string{"exp"}, []string{"echo"}, []string{}, "exp", 7} {
		wantBad(t, c, forge("rsa", false, map[jose.HeaderKey]any{"crit": crit, "echo": true}), "")
	}
	own := new(jose.SignerOptions).WithHeader("kid", "rsa").WithHeader("crit", []string{"echo"}).WithHeader("echo", 1)
	wantBad(t, c, sign(jose.RS256, rsaKey(), own, payload(nil)), "(crit)")
	if len(attacker.hits) > 0 {
		t.Error("the attacker's server was asked")
	}
}

func TestKidTricks(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	p := slow()
	p.rest = 1 << 60 // no fetch for the sake of any of these
	c := running(t, s.config(t), p)
	wantGood(t, c, issue(t, jose.RS256, rsaKey(), "rsa", payload(nil)))
	for _, kid := range []string{"RSA", "rsa ", "rsa\x00", "../../../../dev/null", "' OR '1'='1", "*", s.URL, "ech\no", "\xff", strings.Repeat("echo", 1000)} {
		wantBad(t, c, issue(t, jose.RS256, rsaKey(), kid, payload(nil)), "no key with the token's key id")
	}
	claims := b64(asJSON(payload(nil)))
	for _, kid := range []string{"7", "true", `["rsa"]`, `{"kid":"rsa"}`} {
		wantBad(t, c, b64(`{"alg":"RS256","kid":`+kid+`}`)+"."+claims+"."+b64("x"), "cannot be read")
	}
}

// Signatures that sloppy checks took for good ones.
func TestForgedSignatures(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	c := running(t, s.config(t), slow())
	claims := b64(asJSON(payload(nil)))
	der := strings.Split(issue(t, jose.ES256, ecKey(), "ec", payload(nil)), ".")
	asn1 := must(ecdsa.SignASN1(rand.Reader, ecKey(), make([]byte, 32)))
	n := elliptic.P256().Params().N.Bytes()
	for kid, sigs := range map[string][]string{
		"ec":  {"", strings.Repeat("\x00", 64), strings.Repeat("\x00", 63), strings.Repeat("\x00", 65), string(n) + string(n), string(asn1), "\x01"},
		"ed":  {"", strings.Repeat("\x00", 64), strings.Repeat("\xff", 64), "\x01" + strings.Repeat("\x00", 63)},
		"rsa": {"", strings.Repeat("\x00", 256), "\x01", string(rsaKey().N.Bytes()), strings.Repeat("\x00", 3000)},
	} {
		alg := map[string]string{"ec": "ES256", "ed": "EdDSA", "rsa": "RS256"}[kid]
		for _, sig := range sigs {
			wantBad(t, c, b64(`{"alg":"`+alg+`","kid":"`+kid+`"}`)+"."+claims+"."+b64(sig), "signature is wrong")
		}
	}
	wantBad(t, c, der[0]+"."+der[1]+"."+b64(string(asn1)), "signature is wrong")
}

func TestWeakKeysAreNotTaken(t *testing.T) {
	weak := &rsa.PublicKey{N: must(rand.Prime(rand.Reader, 1024)), E: 65537}
	for name, text := range map[string]string{
		"RSA of 1024 bits":  asJSON(jwk("k", "", weak)),
		"P-521":             asJSON(jwk("k", "", must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)).Public())),
		"off the curve":     `{"kty":"EC","crv":"P-256","x":"` + b64(strings.Repeat("\x01", 32)) + `","y":"` + b64(strings.Repeat("\x01", 32)) + `"}`,
		"unknown type":      `{"kty":"XXX","kid":"k"}`,
		"no type":           `{"kid":"k"}`,
		"secret":            `{"kty":"oct","k":"AAAA"}`,
		"X25519":            `{"kty":"OKP","crv":"X25519","x":"` + b64(strings.Repeat("\x09", 32)) + `"}`,
		"short Ed25519":     `{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`,
		"RSA without e":     `{"kty":"RSA","n":"AAAA"}`,
		"RSA of 64k bits":   `{"kty":"RSA","e":"AQAB","n":"` + b64(strings.Repeat("\xff", 8192)) + `"}`,
		"private":           asJSON(jose.JSONWebKey{Key: ecKey(), KeyID: "k"}),
		"for deriving only": strings.Replace(asJSON(jwk("k", "", ecKey().Public())), "{", `{"key_ops":["deriveKey"],`, 1),
		"ops of no kind":    strings.Replace(asJSON(jwk("k", "", ecKey().Public())), "{", `{"key_ops":[],`, 1),
		"twice the type":    strings.Replace(asJSON(jwk("k", "", ecKey().Public())), "{", `{"kty":"EC",`, 1),
		"a number":          `7`,
		"deep":              strings.Repeat("[", 2_000) + strings.Repeat("]", 2_000),
		"deep inside":       `{"kty":` + strings.Repeat("[", 2_000) + strings.Repeat("]", 2_000) + `}`,
		"deep unknown":      `{"oth":` + strings.Repeat("[", 2_000) + strings.Repeat("]", 2_000) + `}`,
		"null":              `null`,
	} {
		keys, skipped, err := parseKeySet([]byte(`{"keys":[` + text + `,` + asJSON(jwk("good", "", edKey().Public())) + `]}`))
		if err != nil || skipped != 1 || len(keys) != 1 || keys[0].id != "good" {
			t.Errorf("%s: %d keys, %d skipped, %v", name, len(keys), skipped, err)
		}
	}
	ops := strings.Replace(asJSON(jwk("k", "", ecKey().Public())), "{", `{"key_ops":["verify"],`, 1)
	if keys, skipped, err := parseKeySet([]byte(`{"keys":[` + ops + `]}`)); err != nil || skipped != 0 || len(keys) != 1 {
		t.Errorf("a key for verifying: %d keys, %v", len(keys), err)
	}
}
