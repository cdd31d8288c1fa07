package tlsconf

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A certificate that nobody renewed is told apart from one that clients take.
func TestValidUntilItExpires(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cert, key, leaf := pemPair(t)
		c := Config{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
		write(t, c.CertFile, cert)
		write(t, c.KeyFile, key)
		r, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Valid(t.Context()); err != nil || !r.Ends().Equal(leaf.NotAfter) {
			t.Errorf("%v, until %v instead of %v", err, r.Ends(), leaf.NotAfter)
		}
		<-time.After(time.Until(leaf.NotAfter) + time.Second)
		if err := r.Valid(t.Context()); err == nil || !strings.Contains(err.Error(), "cert.pem has expired") {
			t.Errorf("%v", err)
		}
	})
}
