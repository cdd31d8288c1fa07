// Package tlsconf serves the node's certificate, reloading it when the files change.
package tlsconf

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// defaultInterval is how often the files are read: they are small, and a renewed certificate has days to be noticed.
const defaultInterval = 5 * time.Second

// maxFile bounds a certificate or key file, in bytes.
const maxFile = 1 << 20

// Config names the files.
type Config struct {
	CertFile string        // PEM: the certificate and then the chain
	KeyFile  string        // PEM
	Interval time.Duration // between two looks at the files; 0: five seconds
	Log      *slog.Logger  // nil: silence
}

// Reloader holds the certificate in force. It is made by New, owned by main; its listeners call GetCertificate.
type Reloader struct {
	conf    Config
	current atomic.Pointer[tls.Certificate] // never nil after New
	seen    pair                            // what the files held last, good or bad; owned by New, then by Run
}

// pair is the content of the two files.
type pair struct{ cert, key []byte }

func (p pair) equal(q pair) bool { return bytes.Equal(p.cert, q.cert) && bytes.Equal(p.key, q.key) }

// New loads the certificate; it fails when that cannot be served. Errors name the file and never hold any of the key.
func New(c Config) (*Reloader, error) {
	if c.CertFile == "" || c.KeyFile == "" {
		return nil, errors.New("tlsconf: a certificate needs two files, certificate and key")
	}
	if c.Interval <= 0 {
		c.Interval = defaultInterval
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	r := &Reloader{conf: c}
	files, err := r.read()
	if err != nil {
		return nil, err
	}
	r.seen = files
	if err := r.use(files); err != nil {
		return nil, err
	}
	return r, nil
}

// Run looks at the files until ctx ends, then returns nil. Their content is compared, not their dates: links may be swapped and
// clocks be coarse. Files that cannot be served, such as half-written ones, are logged once and leave the old certificate in force.
func (r *Reloader) Run(ctx context.Context) error {
	tick := time.NewTicker(r.conf.Interval)
	defer tick.Stop()
	unreadable := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		files, err := r.read()
		switch {
		case err != nil && unreadable, err == nil && !unreadable && files.equal(r.seen):
			continue
		case err == nil:
			r.seen = files
			err = r.use(files)
			unreadable = false
		default:
			unreadable = true
		}
		if err != nil {
			r.conf.Log.Error("the changed certificate cannot be used; the old one stays", "err", err)
		}
	}
}

// GetCertificate is for tls.Config: it returns the certificate in force, whatever name the client asks for.
func (r *Reloader) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return r.current.Load(), nil
}

// Ends is when the certificate in force expires.
func (r *Reloader) Ends() time.Time { return r.current.Load().Leaf.NotAfter }

// Valid is nil until the certificate in force expires; then it says since when clients refuse it. It never waits.
func (r *Reloader) Valid(context.Context) error {
	if until := r.Ends(); time.Now().After(until) {
		return fmt.Errorf("tlsconf: %s has expired at %v", r.conf.CertFile, until)
	}
	return nil
}

// Server returns the TLS settings of a listener that serves the certificate in force: TLS 1.2 or newer.
func (r *Reloader) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: r.GetCertificate}
}

func (r *Reloader) read() (p pair, err error) {
	if p.cert, err = readFile(r.conf.CertFile); err != nil {
		return pair{}, err
	}
	if p.key, err = readFile(r.conf.KeyFile); err != nil {
		return pair{}, err
	}
	return p, nil
}

// readFile reads a small regular file.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("tlsconf: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("tlsconf: %s is not a PEM file of at most %d bytes", name, maxFile)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("tlsconf: %w", err)
	}
	return b, nil
}

// use puts a certificate in force. It fails and changes nothing when the two files do not make one.
func (r *Reloader) use(p pair) error {
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("tlsconf: %s and %s: %w", r.conf.CertFile, r.conf.KeyFile, err)
	}
	r.current.Store(&cert)
	until := cert.Leaf.NotAfter
	if time.Now().After(until) {
		r.conf.Log.Warn("the certificate has expired; clients will refuse it", "file", r.conf.CertFile, "until", until)
	} else {
		r.conf.Log.Info("certificate loaded", "file", r.conf.CertFile, "until", until)
	}
	return nil
}
