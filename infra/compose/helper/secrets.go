package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	maker = "Weever compose" // in the certificates that are made here: others are left alone
	life  = 365 * 24 * time.Hour
	early = 30 * 24 * time.Hour // a certificate is replaced so long before it expires
	mode  = 0o640               // the group's programs read them, too
)

// secrets makes what is missing. A token that was given takes the place of another.
func secrets(dir string, hosts []string, token string, stdout io.Writer) error {
	if err := adminToken(filepath.Join(dir, "admin", "admin-token"), token, stdout); err != nil {
		return err
	}
	return certificate(filepath.Join(dir, "tls", "cert.pem"), hosts, time.Now(), stdout)
}

func adminToken(file, token string, stdout io.Writer) error {
	old, err := os.ReadFile(file)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case token == "" && len(old) > 0, token != "" && token == string(old):
		return nil
	case token == "":
		token = strings.ToLower(rand.Text())
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("ADMIN_TOKEN: must be printable and without spaces")
	}
	fmt.Fprintln(stdout, "new admin token")
	return write(file, []byte(token))
}

// certificate makes a self-signed one, unless there is one that holds, or one that somebody else has made. Its key lies beside it, with
// ".key" appended, where HAProxy looks for it.
func certificate(file string, hosts []string, now time.Time, stdout io.Writer) error {
	if len(hosts) == 0 {
		return errors.New("no host to make a certificate for")
	}
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		fault := unfit(text, hosts, now)
		if fault == "" {
			return nil
		}
		fmt.Fprintln(stdout, "another certificate:", fault)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: maker}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("hosts %q: %w", hosts, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "new certificate for", strings.Join(hosts, ", "))
	if err := write(file+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})); err != nil {
		return err
	}
	return write(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// unfit says why a certificate has to be replaced; empty: it has not.
func unfit(text []byte, hosts []string, now time.Time) string {
	block, _ := pem.Decode(text)
	if block == nil {
		return "the one that is there is no PEM"
	}
	c, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "the one that is there cannot be read"
	case c.Subject.CommonName != maker:
		return "" // somebody's own
	case now.After(c.NotAfter.Add(-early)):
		return "the old one expires " + c.NotAfter.Format(time.DateOnly)
	}
	for _, h := range hosts {
		if c.VerifyHostname(h) != nil {
			return "the old one is not for " + h
		}
	}
	return ""
}

// write puts a file into place as a whole.
func write(file string, text []byte) error {
	temp := file + ".new"
	if err := os.WriteFile(temp, text, mode); err != nil {
		return err
	}
	return os.Rename(temp, file)
}
