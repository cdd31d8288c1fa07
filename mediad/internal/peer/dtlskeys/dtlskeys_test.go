package dtlskeys

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/srtp/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestKeysAreTheClients: for each hash that a cipher suite may ask for and each profile, what the tap finds is what the client has.
func TestKeysAreTheClients(t *testing.T) {
	for _, suite := range []dtls.CipherSuiteID{
		dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, dtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	} {
		for profile, want := range map[dtls.SRTPProtectionProfile]srtp.ProtectionProfile{
			dtls.SRTP_AEAD_AES_128_GCM: srtp.ProtectionProfileAeadAes128Gcm, dtls.SRTP_AES128_CM_HMAC_SHA1_80: srtp.ProtectionProfileAes128CmHmacSha1_80,
		} {
			t.Run(suite.String()+" "+want.String(), func(t *testing.T) {
				tap := &Tap{}
				client := handshakeWith(t, tap, suite, profile)
				got, err := tap.Config()
				if err != nil {
					t.Fatal(err)
				}
				theirs := &srtp.Config{Profile: want}
				if err := theirs.ExtractSessionKeysFromDTLS(client, true); err != nil {
					t.Fatal(err)
				}
				k, c := got.Keys, theirs.Keys
				if got.Profile != want || !bytes.Equal(k.LocalMasterKey, c.RemoteMasterKey) || !bytes.Equal(k.LocalMasterSalt, c.RemoteMasterSalt) ||
					!bytes.Equal(k.RemoteMasterKey, c.LocalMasterKey) || !bytes.Equal(k.RemoteMasterSalt, c.LocalMasterSalt) {
					t.Errorf("the node has profile %v and other keys than the client", got.Profile)
				}
				if _, err := tap.Config(); !errors.Is(err, errEarly) {
					t.Errorf("the secret was kept: %v", err)
				}
			})
		}
	}
}

// TestNothingSeen: without a handshake, or with a profile that the node does not offer, there are no keys.
func TestNothingSeen(t *testing.T) {
	if _, err := (&Tap{}).Config(); !errors.Is(err, errEarly) {
		t.Errorf("keys from nothing: %v", err)
	}
	tap := &Tap{}
	handshakeWith(t, tap, dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.SRTP_AEAD_AES_256_GCM)
	if _, err := tap.Config(); err == nil {
		t.Error("keys for a profile that the node does not offer")
	}
	for _, line := range []string{"", "CLIENT_RANDOM", "CLIENT_RANDOM 00 0", "CLIENT_RANDOM zz 00", "SERVER_HANDSHAKE_TRAFFIC_SECRET 00 00"} {
		fresh := &Tap{}
		_, _ = secrets{fresh}.Write([]byte(line))
		if _, err := fresh.Config(); !errors.Is(err, errEarly) {
			t.Errorf("keys from %q: %v", line, err)
		}
	}
}

// handshakeWith lets a client connect to a server that the tap watches, and returns what the client knows.
func handshakeWith(t *testing.T, tap *Tap, suite dtls.CipherSuiteID, profile dtls.SRTPProtectionProfile) *dtls.State {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := selfsign.SelfSign(key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, b := pair(t)
	server, err := dtls.ServerWithOptions(a, b.LocalAddr(), dtls.WithCertificates(cert), dtls.WithCipherSuites(suite), dtls.WithSRTPProtectionProfiles(profile),
		dtls.WithServerHelloMessageHook(tap.hello), dtls.WithKeyLogWriter(secrets{tap}))
	if err != nil {
		t.Fatal(err)
	}
	client, err := dtls.ClientWithOptions(b, a.LocalAddr(), dtls.WithCertificates([]tls.Certificate{cert}...), dtls.WithCipherSuites(suite), dtls.WithSRTPProtectionProfiles(profile),
		dtls.WithInsecureSkipVerify(true))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.HandshakeContext(ctx) }()
	if err := client.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	state, ok := client.ConnectionState()
	if !ok {
		t.Fatal("the client has no state")
	}
	return &state
}

// pair returns two sockets.
func pair(t *testing.T) (a, b net.PacketConn) {
	t.Helper()
	open := func() net.PacketConn {
		c, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return open(), open()
}
