package tlsconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 20 * time.Second

// pemPair makes a certificate and its key as PEM.
func pemPair(t *testing.T) (cert, key []byte, leaf *x509.Certificate) {
	t.Helper()
	c, err := SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), c.Leaf
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// logged is a slog handler's output as a channel of lines.
type logged chan string

func (l logged) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// next returns the next line at error level or above, within limit.
func (l logged) nextError(t *testing.T) string {
	t.Helper()
	timer := time.After(limit)
	for {
		select {
		case line := <-l:
			if strings.Contains(line, "level=ERROR") {
				return line
			}
		case <-timer:
			t.Fatal("nothing was logged")
		}
	}
}

// server runs a reloader for the files in dir behind a real TLS listener.
func server(t *testing.T, dir string) (addr string, log logged) {
	t.Helper()
	log = make(logged, 1000)
	r, err := New(Config{
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), Interval: 5 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", r.Server())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.(*tls.Conn).HandshakeContext(ctx) // the client judges it
			})
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	return l.Addr().String(), log
}

// shown is the certificate a client is shown that trusts only want; nil if the handshake fails.
func shown(t *testing.T, addr string, want *x509.Certificate) *x509.Certificate {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(want)
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: limit}, Config: &tls.Config{RootCAs: pool, ServerName: "localhost"}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return nil
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

func awaitShown(t *testing.T, addr string, want *x509.Certificate) {
	t.Helper()
	for end := time.Now().Add(limit); shown(t, addr, want) == nil; {
		if time.Now().After(end) {
			t.Fatal("clients are not shown the new certificate")
		}
	}
}

func TestRotationIsSeenByClients(t *testing.T) {
	dir := t.TempDir()
	cert, key, first := pemPair(t)
	write(t, filepath.Join(dir, "cert.pem"), cert)
	write(t, filepath.Join(dir, "key.pem"), key)
	addr, _ := server(t, dir)
	if shown(t, addr, first) == nil {
		t.Fatal("the first certificate is not served")
	}
	cert, key, second := pemPair(t)
	write(t, filepath.Join(dir, "cert.pem"), cert)
	write(t, filepath.Join(dir, "key.pem"), key)
	awaitShown(t, addr, second)
	if shown(t, addr, first) != nil {
		t.Fatal("the first certificate is still served")
	}
}

// A mounted Kubernetes secret is a link to a directory, swapped as a whole.
func TestSwappedLinkIsARotation(t *testing.T) {
	dir := t.TempDir()
	var leaves []*x509.Certificate
	for _, name := range []string{"one", "two"} {
		cert, key, leaf := pemPair(t)
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "cert.pem"), cert)
		write(t, filepath.Join(dir, name, "key.pem"), key)
		leaves = append(leaves, leaf)
	}
	link := filepath.Join(dir, "current")
	if err := os.Symlink("one", link); err != nil {
		t.Fatal(err)
	}
	addr, _ := server(t, link)
	if shown(t, addr, leaves[0]) == nil {
		t.Fatal("the first certificate is not served")
	}
	if err := os.Symlink("two", link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	awaitShown(t, addr, leaves[1])
}

func TestBrokenFilesKeepTheOldCertificate(t *testing.T) {
	cert, key, old := pemPair(t)
	newCert, newKey, fresh := pemPair(t)
	for what, breakIt := range map[string]func(t *testing.T, certFile, keyFile string){
		"half-written":       func(t *testing.T, certFile, _ string) { write(t, certFile, newCert[:len(newCert)/2]) },
		"empty":              func(t *testing.T, certFile, _ string) { write(t, certFile, nil) },
		"key of another":     func(t *testing.T, _, keyFile string) { write(t, keyFile, newKey) },
		"gone":               func(_ *testing.T, certFile, _ string) { _ = os.Remove(certFile) },
		"not a regular file": func(_ *testing.T, _, keyFile string) { _ = os.Remove(keyFile); _ = os.Mkdir(keyFile, 0o700) },
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
			write(t, certFile, cert)
			write(t, keyFile, key)
			addr, log := server(t, dir)
			breakIt(t, certFile, keyFile)
			if line := log.nextError(t); strings.Contains(line, "PRIVATE KEY") {
				t.Fatalf("the log shows the key: %s", line)
			}
			if shown(t, addr, old) == nil {
				t.Fatal("the old certificate is not served any more")
			}
			_ = os.Remove(keyFile)
			write(t, certFile, newCert)
			write(t, keyFile, newKey)
			awaitShown(t, addr, fresh)
		})
	}
}

func TestBrokenFilesAreLoggedOnce(t *testing.T) {
	for what, breakIt := range map[string]func(file string) error{
		"broken": func(file string) error { return os.WriteFile(file, []byte("x"), 0o600) },
		"gone":   os.Remove,
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			cert, key, _ := pemPair(t)
			write(t, filepath.Join(dir, "cert.pem"), cert)
			write(t, filepath.Join(dir, "key.pem"), key)
			log := make(logged, 1000)
			r, err := New(Config{
				CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), Interval: time.Millisecond,
				Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError})),
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := breakIt(filepath.Join(dir, "cert.pem")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := r.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if len(log) != 1 {
				t.Fatalf("logged %d times", len(log))
			}
		})
	}
}

func TestNewRefusesWhatCannotBeServed(t *testing.T) {
	dir := t.TempDir()
	cert, _, _ := pemPair(t)
	_, key, _ := pemPair(t)
	certFile, keyFile := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	write(t, certFile, cert)
	write(t, keyFile, key)
	for what, c := range map[string]Config{
		"no files":     {},
		"no such file": {CertFile: filepath.Join(dir, "x"), KeyFile: keyFile},
		"key missing":  {CertFile: certFile, KeyFile: filepath.Join(dir, "x")},
		"no pair":      {CertFile: certFile, KeyFile: keyFile},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func TestSelfSignedFitsItsNames(t *testing.T) {
	c, err := SelfSigned("192.0.2.1", "node.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "192.0.2.1", "node.test"} {
		if err := c.Leaf.VerifyHostname(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Leaf.VerifyHostname("example.org"); err == nil {
		t.Error("good for any name")
	}
}
