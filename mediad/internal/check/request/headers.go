package request

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Link is one value of a Link header (RFC 8288 section 3).
type Link struct {
	Target string
	Params map[string]string // names in lower case; the first of equal names counts
}

// Rels lists the relation types of the link.
func (l Link) Rels() []string { return strings.Fields(l.Params["rel"]) }

var errLink = errors.New("a Link header is not of the form <uri>; name=\"value\"")

// Links reads all Link headers. An error means that one of them breaks the syntax; those before it are returned.
func Links(h http.Header) (links []Link, err error) {
	for _, value := range h.Values("Link") {
		for rest := strings.TrimSpace(value); rest != ""; {
			var l Link
			if l, rest, err = oneLink(rest); err != nil {
				return links, err
			}
			links = append(links, l)
		}
	}
	return links, nil
}

// oneLink reads one value; rest is what follows the comma after it.
func oneLink(s string) (l Link, rest string, err error) {
	if !strings.HasPrefix(s, "<") {
		return l, "", errLink
	}
	target, s, ok := strings.Cut(s[1:], ">")
	if _, err := url.Parse(target); !ok || target == "" || err != nil || strings.ContainsAny(target, " <\"") {
		return l, "", errLink
	}
	l = Link{Target: target, Params: map[string]string{}}
	for {
		s = strings.TrimLeft(s, " \t")
		switch {
		case s == "":
			return l, "", nil
		case s[0] == ',':
			return l, strings.TrimLeft(s[1:], " \t,"), nil
		case s[0] != ';':
			return l, "", errLink
		}
		if s, err = l.param(strings.TrimLeft(s[1:], " \t")); err != nil {
			return l, "", err
		}
	}
}

// param reads name=value or name="value" into l and returns what follows.
func (l Link) param(s string) (rest string, err error) {
	end := strings.IndexAny(s, "=;, \t\"<>")
	if end < 0 {
		end = len(s)
	}
	name := strings.ToLower(s[:end])
	if name == "" {
		return "", errLink
	}
	value := ""
	if s = strings.TrimLeft(s[end:], " \t"); strings.HasPrefix(s, "=") {
		s = strings.TrimLeft(s[1:], " \t")
		var ok bool
		if value, s, ok = tokenOrQuoted(s); !ok {
			return "", errLink
		}
	}
	if _, again := l.Params[name]; !again {
		l.Params[name] = value
	}
	return s, nil
}

// tokenOrQuoted reads one of the two (RFC 9110 section 5.6).
func tokenOrQuoted(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ";, \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], end > 0 && !strings.Contains(s[:end], `"`)
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// Lists reports whether a header that is a comma-separated list has the item, in whatever case, or an asterisk.
func Lists(h http.Header, name, item string) bool {
	for _, value := range h.Values(name) {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part == "*" || strings.EqualFold(part, item) {
				return true
			}
		}
	}
	return false
}

// StrongTag reports whether an ETag header is a strong entity-tag (RFC 9110 section 8.8.3).
func StrongTag(etag string) bool {
	if len(etag) < 3 || etag[0] != '"' || etag[len(etag)-1] != '"' {
		return false
	}
	for _, c := range []byte(etag[1 : len(etag)-1]) {
		if c < 0x21 || c == '"' || c == 0x7f {
			return false
		}
	}
	return true
}

// Redact is a session's location as it may be shown: without its last path segment, its query and its fragment.
func Redact(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "…"
	}
	cut := strings.LastIndex(u.Path, "/") + 1
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path[:cut]}
	text := shown.String() + "…"
	if u.RawQuery != "" {
		text += "?…"
	}
	return text
}
