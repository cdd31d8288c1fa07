package auth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestNewToken(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		tok := NewToken()
		if len(tok) < 26 { // 26 base32 characters hold 130 bits
			t.Fatalf("%q is too short for 128 bits", tok)
		}
		if url.PathEscape(tok) != tok || url.QueryEscape(tok) != tok {
			t.Fatalf("%q needs escaping", tok)
		}
		if seen[tok] {
			t.Fatalf("%q came twice", tok)
		}
		seen[tok] = true
	}
}

func TestHash(t *testing.T) {
	// printf %s secret | sha256sum
	const want = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
	if got := Hash("secret"); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestEqual(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a", "aa", false},
		{"a", "", false},
		{"", "a", false},
		{"", "", false},
	} {
		if got := Equal(tt.a, tt.b); got != tt.want {
			t.Errorf("Equal(%q, %q) = %v", tt.a, tt.b, got)
		}
	}
}

func TestBearer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		headers []string
		want    string
	}{
		{"none", nil, ""},
		{"usual", []string{"Bearer abc"}, "abc"},
		{"lower case", []string{"bearer abc"}, "abc"},
		{"upper case", []string{"BEARER abc"}, "abc"},
		{"more spaces", []string{"  Bearer   abc  "}, "abc"},
		{"no token", []string{"Bearer"}, ""},
		{"empty token", []string{"Bearer "}, ""},
		{"another scheme", []string{"Basic abc"}, ""},
		{"scheme glued to the token", []string{"Bearerabc"}, ""},
		{"token alone", []string{"abc"}, ""},
		{"two headers", []string{"Bearer abc", "Bearer def"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{Header: http.Header{"Authorization": tt.headers}}
			if got := Bearer(r); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzBearer(f *testing.F) {
	for _, s := range []string{"", "Bearer x", "bearer  x ", "Basic eA==", "Bearer\tx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := Bearer(&http.Request{Header: http.Header{"Authorization": {header}}})
		if got != strings.TrimSpace(got) || !strings.Contains(header, got) {
			t.Errorf("%q gives %q", header, got)
		}
	})
}
