package room

import (
	"errors"
	"fmt"
	"strings"
)

// Length limits of names, in bytes (all permitted characters are ASCII).
const (
	MaxName   = 64 // of a room name
	MaxID     = 48 // of an id, the part of a full id before "+"
	MaxFullID = 64 // of a full id; short enough to be a msid identifier (RFC 8830 section 2)
)

// screenSuffix marks the screen share of an id.
const screenSuffix = "-screen"

// ErrName is wrapped by every error of the Parse functions of this package. Their texts name the rule that was
// broken and may be shown to the client; they never repeat the offending input.
var ErrName = errors.New("invalid name")

// Name is a room's name: 1 to 64 characters of A–Z a–z 0–9 _ - ~.
//
// None of these characters means anything in a Redis key, a Redis hash tag or glob, a NATS subject, SDP or HTML, so a name is
// its own escaped form wherever it stands between separators. The zero value is no room.
type Name struct{ s string }

// ParseName validates s.
func ParseName(s string) (Name, error) {
	if err := checkWord("room", s, MaxName); err != nil {
		return Name{}, err
	}
	return Name{s}, nil
}

// String returns the name as it was parsed.
func (n Name) String() string { return n.s }

// IsZero reports whether n is the zero value.
func (n Name) IsZero() bool { return n.s == "" }

// MarshalText implements encoding.TextMarshaler.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.s), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it validates.
func (n *Name) UnmarshalText(b []byte) (err error) {
	*n, err = ParseName(string(b))
	return err
}

// ID is a person in a room: what tokens and kicks are about. It is a full id without "+suffix" and without one final "-screen".
// The zero value is nobody.
type ID struct{ s string }

// ParseID validates s and reduces it to the person it names: "alice", "alice-screen" and "alice+tab2" all give "alice".
func ParseID(s string) (ID, error) {
	f, err := ParseFullID(s)
	if err != nil {
		return ID{}, err
	}
	return f.ID(), nil
}

// String returns the id.
func (i ID) String() string { return i.s }

// MarshalText implements encoding.TextMarshaler.
func (i ID) MarshalText() ([]byte, error) { return []byte(i.s), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it validates and reduces as ParseID does.
func (i *ID) UnmarshalText(b []byte) (err error) {
	*i, err = ParseID(string(b))
	return err
}

// FullID is one connection of a person: "<id>" or "<id>+<suffix>", where id may end in "-screen". The zero value is nobody.
type FullID struct{ s string }

// ParseFullID validates s: the characters of a room name, an id of 1 to 48, at most one "+" with something behind it, at most 64 in all.
func ParseFullID(s string) (FullID, error) {
	label, suffix, plus := strings.Cut(s, "+")
	if err := checkWord("id", label, MaxID); err != nil {
		return FullID{}, err
	}
	if label == screenSuffix {
		return FullID{}, fmt.Errorf("%w: id needs a name before %q", ErrName, screenSuffix)
	}
	if plus {
		if err := checkWord("suffix of the id", suffix, MaxFullID); err != nil {
			return FullID{}, err
		}
	}
	if len(s) > MaxFullID {
		return FullID{}, fmt.Errorf("%w: full id must be at most %d characters", ErrName, MaxFullID)
	}
	return FullID{s}, nil
}

// String returns the full id as it was parsed.
func (f FullID) String() string { return f.s }

// IsZero reports whether f is the zero value.
func (f FullID) IsZero() bool { return f.s == "" }

// Label is the part before "+": the id with its "-screen", if any. Two full ids with one label are two connections for the same thing.
func (f FullID) Label() string {
	label, _, _ := strings.Cut(f.s, "+")
	return label
}

// ID is the person: the label without one final "-screen".
func (f FullID) ID() ID { return ID{strings.TrimSuffix(f.Label(), screenSuffix)} }

// Screen reports whether f is a screen share.
func (f FullID) Screen() bool { return strings.HasSuffix(f.Label(), screenSuffix) }

// MarshalText implements encoding.TextMarshaler.
func (f FullID) MarshalText() ([]byte, error) { return []byte(f.s), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it validates.
func (f *FullID) UnmarshalText(b []byte) (err error) {
	*f, err = ParseFullID(string(b))
	return err
}

// checkWord says which rule s breaks, if any. what names the thing in the message.
func checkWord(what, s string, longest int) error {
	if s == "" || len(s) > longest {
		return fmt.Errorf("%w: %s must be 1 to %d characters", ErrName, what, longest)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '~':
		default:
			return fmt.Errorf("%w: %s may only contain the characters A-Z a-z 0-9 _ - ~", ErrName, what)
		}
	}
	return nil
}
