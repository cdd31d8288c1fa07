// Package dtlskeys learns the SRTP keys of a connection from the DTLS handshake in which pion plays the server.
//
// pion keeps the keys to itself, and with them the only way to encrypt: one that takes a packet at a time through four layers. The
// fan-out writes bursts and therefore has to encrypt by itself. What the keys are made from passes through two hooks that pion has: the
// hello of the server, and the master secret, which is meant for a log. Here it goes no further than into memory.
//
// One Tap per connection, made by package peer before the connection; it has nothing to stop.
package dtlskeys

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"
)

// errEarly is what Config says before the handshake has come far enough.
var errEarly = errors.New("dtlskeys: no handshake was seen")

// Tap sees one handshake. Its methods may be called by any goroutine.
type Tap struct {
	mu      sync.Mutex
	server  [handshake.RandomLength]byte
	suite   dtls.CipherSuiteID
	profile dtls.SRTPProtectionProfile
	client  []byte // random
	master  []byte
}

// Watch makes the connections of an API show their handshakes to the Tap. There may be one such connection, as DTLS server.
func (t *Tap) Watch(se *webrtc.SettingEngine) {
	se.SetDTLSServerHelloMessageHook(t.hello)
	se.SetDTLSKeyLogWriter(secrets{t})
}

// hello reads what the server says first (RFC 5246 section 7.4.1.3, RFC 5764 section 4.1.1), and leaves it as it is.
func (t *Tap) hello(m handshake.MessageServerHello) handshake.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.server = m.Random.MarshalFixed()
	if m.CipherSuiteID != nil {
		t.suite = dtls.CipherSuiteID(*m.CipherSuiteID)
	}
	for _, e := range m.Extensions {
		if use, ok := e.(*extension.UseSRTP); ok && len(use.ProtectionProfiles) == 1 {
			t.profile = use.ProtectionProfiles[0]
		}
	}
	return &m
}

// secrets is where pion's key log goes.
type secrets struct{ tap *Tap }

// Write takes a line "CLIENT_RANDOM random secret", both in hexadecimal.
func (w secrets) Write(line []byte) (int, error) {
	words := bytes.Fields(line)
	if len(words) != 3 || string(words[0]) != "CLIENT_RANDOM" {
		return len(line), nil
	}
	var both [2][]byte
	for i, word := range words[1:] {
		both[i] = make([]byte, hex.DecodedLen(len(word)))
		if _, err := hex.Decode(both[i], word); err != nil {
			return 0, errors.New("dtlskeys: the key log has an unknown form")
		}
	}
	w.tap.mu.Lock()
	defer w.tap.mu.Unlock()
	w.tap.client, w.tap.master = both[0], both[1]
	return len(line), nil
}

// Config returns the negotiated SRTP profile and the keys (RFC 5764 section 4.2), and forgets the secret: it answers once. It must not be
// called before pion has verified the peer's certificate, which is when it says that DTLS is connected.
func (t *Tap) Config() (*srtp.Config, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.master == nil {
		return nil, errEarly
	}
	defer func() {
		clear(t.master)
		t.master = nil
	}()
	c := &srtp.Config{}
	switch t.profile {
	case dtls.SRTP_AEAD_AES_128_GCM:
		c.Profile = srtp.ProtectionProfileAeadAes128Gcm
	case dtls.SRTP_AES128_CM_HMAC_SHA1_80:
		c.Profile = srtp.ProtectionProfileAes128CmHmacSha1_80
	default:
		return nil, fmt.Errorf("dtlskeys: SRTP profile %#x is not one that the node offers", uint16(t.profile))
	}
	if err := c.ExtractSessionKeysFromDTLS(exporter{t}, false); err != nil {
		return nil, fmt.Errorf("dtlskeys: %w", err)
	}
	return c, nil
}

// exporter implements srtp.KeyingMaterialExporter for a Tap whose lock is held.
type exporter struct{ tap *Tap }

// ExportKeyingMaterial follows RFC 5705 section 4, without a context.
func (e exporter) ExportKeyingMaterial(label string, _ []byte, length int) ([]byte, error) {
	sum := prf.HashFunc(sha256.New)
	switch e.tap.suite {
	case dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, dtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
		sum = func() hash.Hash { return sha512.New384() }
	}
	seed := append([]byte(label), e.tap.client...)
	return prf.PHash(e.tap.master, append(seed, e.tap.server[:]...), length, sum)
}
