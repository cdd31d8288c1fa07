package flagval

import (
	"errors"
	"log/slog"
	"os"
	"strings"
)

// maxSecretFile bounds a --…-file, in bytes.
const maxSecretFile = 64 << 10

// Secret is a text that must not be shown: printed, logged or encoded it is "[secret]". The zero value is no secret.
type Secret struct{ text string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{text} }

// Value returns the text, for the one who needs it.
func (s Secret) Value() string { return s.text }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == "" }

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return "[secret]"
}

// GoString implements fmt.GoStringer, for %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler; JSON uses it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SecretFile reads a secret from a file: its text without the line end. The error names what is wrong with the file.
func SecretFile(name string) (Secret, error) {
	info, err := os.Stat(name)
	if err != nil {
		return Secret{}, errors.New("must be a file that can be read: " + reason(err))
	}
	if info.IsDir() || info.Size() > maxSecretFile {
		return Secret{}, errors.New("must be a file of at most 64 KiB")
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return Secret{}, errors.New("must be a file that can be read: " + reason(err))
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" {
		return Secret{}, errors.New("must not be empty")
	}
	return Secret{text}, nil
}

// reason drops operation and name from a file error: the caller's message has the name.
func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// Bearer is a token that can stand in an Authorization header: visible ASCII without blanks.
func Bearer(s string) (Secret, error) {
	if s == "" {
		return Secret{}, errors.New("must not be empty")
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return Secret{}, errors.New("must be visible ASCII characters without blanks")
		}
	}
	return Secret{s}, nil
}
