package room

import (
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "tea-room_1~", strings.Repeat("r", 64), "-screen"} {
		if n, err := ParseName(good); err != nil || n.String() != good {
			t.Errorf("%q: %v, %v", good, n, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("r", 65), "a b", "a.b", "*", ">", "a+b", "{a}", "a:b", "a/b", "ä", "a\n", "a\x00", `"`, "<", "&", "%41"} {
		if n, err := ParseName(bad); !errors.Is(err, ErrName) || !n.IsZero() {
			t.Errorf("%q: %v, %v", bad, n, err)
		} else if bad != "" && strings.Contains(strings.TrimPrefix(err.Error(), ErrName.Error()), bad+" ") && len(bad) > 3 {
			t.Errorf("%q is repeated in %q", bad, err)
		}
	}
}

func TestFullID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		full, label, id string
		screen          bool
	}{
		{"alice", "alice", "alice", false},
		{"alice+1", "alice", "alice", false},
		{"alice-screen", "alice-screen", "alice", true},
		{"alice-screen+x-screen", "alice-screen", "alice", true},
		{"alice+x-screen", "alice", "alice", false},
		{"alice-screen-screen", "alice-screen-screen", "alice-screen", true},
		{"screen", "screen", "screen", false},
	} {
		f, err := ParseFullID(c.full)
		if err != nil {
			t.Errorf("%s: %v", c.full, err)
			continue
		}
		if f.Label() != c.label || f.ID().String() != c.id || f.Screen() != c.screen {
			t.Errorf("%s: label %s, id %s, screen %v", c.full, f.Label(), f.ID(), f.Screen())
		}
		if id, err := ParseID(c.full); err != nil || id != f.ID() {
			t.Errorf("ParseID(%s): %v, %v", c.full, id, err)
		}
	}
	for _, bad := range []string{
		"", "+", "a+", "+a", "a+b+c", "-screen", "-screen+x", strings.Repeat("i", 49), strings.Repeat("i", 48) + "+" + strings.Repeat("s", 16),
		"a*", "a+>", "a.b", `a"b`, "a b",
	} {
		if f, err := ParseFullID(bad); !errors.Is(err, ErrName) || !f.IsZero() {
			t.Errorf("%q: %v, %v", bad, f, err)
		}
	}
	if _, err := ParseFullID(strings.Repeat("i", 48) + "+" + strings.Repeat("s", 15)); err != nil {
		t.Errorf("64 characters in all: %v", err)
	}
}

// Decoding a record validates its names: what comes from the bus or from Redis cannot smuggle one in.
func TestNamesAreCheckedInJSON(t *testing.T) {
	t.Parallel()
	var p Publisher
	if err := json.Unmarshal([]byte(`{"full_id":"alice+1","inc":3}`), &p); err != nil || p.FullID.String() != "alice+1" {
		t.Errorf("%+v, %v", p, err)
	}
	if err := json.Unmarshal([]byte(`{"full_id":"a.>"}`), &p); !errors.Is(err, ErrName) {
		t.Errorf("a wildcard was decoded: %v", err)
	}
}

// Whatever is accepted stays within its field: in a Redis key and its hash tag, in a glob, in a NATS subject, in a msid, in a URL's
// path, in HTML.
func FuzzNamesStayInTheirField(f *testing.F) {
	for _, s := range []string{"tea", "alice+1", "a-screen+x~", "*", ">", "a.b", "{x}", "\x00", "a\r\nb", "ä"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, nameErr := ParseName(s)
		full, idErr := ParseFullID(s)
		if nameErr == nil {
			inField(t, n.String(), s, MaxName)
		}
		if idErr == nil {
			inField(t, full.String(), s, MaxFullID)
			if full.ID().String() == "" || len(full.ID().String()) > MaxID {
				t.Errorf("%q: id %q", s, full.ID())
			}
			if again, err := ParseFullID(full.String()); err != nil || again != full {
				t.Errorf("%q does not parse again: %v", s, err)
			}
			if _, err := ParseID(full.ID().String()); err != nil && !strings.HasSuffix(full.Label(), screenSuffix+screenSuffix) {
				t.Errorf("the id of %q is none: %v", s, err)
			}
		}
	})
}

func inField(t *testing.T, got, was string, longest int) {
	t.Helper()
	if got != was || got == "" || len(got) > longest {
		t.Errorf("%q became %q", was, got)
	}
	if strings.ContainsAny(got, ".*>:{}[]?\\^ \t\r\n\x00\"'<&/%#") || html.EscapeString(got) != got {
		t.Errorf("%q leaves its field", got)
	}
	if escaped := url.PathEscape(got); escaped != got {
		t.Errorf("%q is %q in a path", got, escaped)
	}
}
