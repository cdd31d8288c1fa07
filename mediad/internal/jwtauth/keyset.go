package jwtauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// This file is used by keySource: what a fetched key set says.

const (
	maxKeys   = 64   // in a set
	maxTried  = 4    // keys that one token's signature is tried with
	leastBits = 2048 // of an RSA key (RFC 7518 section 3.3); the library bounds the other side
)

// keySet is a JSON Web Key Set (RFC 7517 section 5): those of its keys that can prove signatures. It does not change.
type keySet []signingKey

// signingKey is a public key and what may be done with it.
type signingKey struct {
	id     string // kid; empty: it has none
	algs   []jose.SignatureAlgorithm
	public any // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// parseKeySet reads a key set. Keys that are of no use here are left out and counted, as RFC 7517 section 5 asks for; one key that
// nobody here understands must not lock out the others.
func parseKeySet(body []byte) (keys keySet, skipped int, err error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, 0, errors.New("the reply is no JSON Web Key Set")
	}
	if doc.Keys == nil {
		return nil, 0, errors.New("the reply is no JSON Web Key Set: it has no list of keys")
	}
	if len(doc.Keys) > maxKeys {
		return nil, 0, fmt.Errorf("the key set has %d keys; at most %d are taken", len(doc.Keys), maxKeys)
	}
	for _, raw := range doc.Keys {
		if key, ok := parseKey(raw); ok {
			keys = append(keys, key)
		} else {
			skipped++
		}
	}
	return keys, skipped, nil
}

// parseKey reads one key; ok is false when it is not meant or not fit to prove signatures, or is no public key. A private key that
// somebody published is one that everybody has.
func parseKey(raw []byte) (key signingKey, ok bool) {
	var meant struct {
		Ops []string `json:"key_ops"`
	}
	var k jose.JSONWebKey
	if json.Unmarshal(raw, &meant) != nil || json.Unmarshal(raw, &k) != nil || !k.IsPublic() || !k.Valid() {
		return signingKey{}, false
	}
	if k.Use != "" && k.Use != "sig" || meant.Ops != nil && !slices.Contains(meant.Ops, "verify") {
		return signingKey{}, false
	}
	algs := algsFor(k.Key)
	if k.Algorithm != "" {
		alg := jose.SignatureAlgorithm(k.Algorithm)
		if !slices.Contains(algs, alg) {
			return signingKey{}, false
		}
		algs = []jose.SignatureAlgorithm{alg}
	}
	return signingKey{id: k.KeyID, algs: algs, public: k.Key}, len(algs) > 0
}

// algsFor are the algorithms that a public key can be used with (RFC 7518 section 3.1, RFC 8037 section 3.1).
func algsFor(public any) []jose.SignatureAlgorithm {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= leastBits {
			return rsaAlgs()
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}
		}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	}
	return nil
}

// find returns the public keys that a token with this kid and alg may be signed with. A token without a kid may be signed with any key
// that fits.
func (s keySet) find(kid string, alg jose.SignatureAlgorithm) (keys []any) {
	for _, k := range s {
		if (kid == "" || k.id == kid) && slices.Contains(k.algs, alg) {
			keys = append(keys, k.public)
		}
	}
	return keys
}
