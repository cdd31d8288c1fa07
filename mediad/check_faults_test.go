package main

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"weever/mediad/internal/sdpfrag"
)

// What can be wrong with a server, for TestCheckFindsFaults.

func brokenAnswers() map[string]broken {
	return map[string]broken{
		"nothing":            {},
		"200, not 201":       {fails: []string{"W4"}, reply: posted(func(r *http.Response, b string) string { r.StatusCode = 200; return b })},
		"no Location":        {fails: []string{"W5"}, reply: head("POST", func(h http.Header) { h.Del("Location") })},
		"sendrecv":           {fails: []string{"W7"}, reply: text("a=recvonly", "a=sendrecv")},
		"takes recvonly":     {fails: []string{"W8"}, request: offered("a=recvonly", "a=sendonly")},
		"takes inactive":     {fails: []string{"W8"}, request: offered("a=inactive", "a=sendonly")},
		"no candidates":      {fails: []string{"W21", "H7"}, reply: text("a=candidate:", "a=x-candidate:")},
		"not bundled":        {fails: []string{"W32"}, reply: text("a=group:BUNDLE", "a=x-group:BUNDLE")},
		"no rtcp-mux-only":   {fails: []string{"W33"}, reply: text("a=rtcp-mux-only\r\n", "")},
		"always passive":     {fails: []string{"W36"}, reply: text("a=setup:active", "a=setup:passive")},
		"no transport-cc":    {fails: []string{"W42"}, reply: text("transport-cc", "x-cc")},
		"one rid forgotten":  {fails: []string{"W45"}, reply: text("a=rid:m recv\r\n", "")},
		"half of the tracks": {fails: []string{"W34"}, request: func(r *http.Request, b string) string { return firstSections(b, 4) }},
		"port 0": {
			fails: []string{"W35"}, request: offered("x-nobody-knows-this", "VP8"),
			reply: posted(func(_ *http.Response, b string) string {
				if strings.Contains(b, "a=rtpmap:120 ") {
					b = strings.Replace(b, "m=video 9", "m=video 0", 1)
				}
				return b
			}),
		},
		"takes any type": {fails: []string{"W6"}, request: func(r *http.Request, b string) string {
			if r.Method == http.MethodPost {
				r.Header.Set("Content-Type", "application/sdp")
			}
			return b
		}},
	}
}

// firstSections cuts an offer of more than n sections down to those.
func firstSections(offer string, n int) string {
	parts := strings.Split(offer, "m=")
	if len(parts) <= n+1 || !strings.HasPrefix(offer, "v=0") {
		return offer
	}
	before, rest, _ := strings.Cut(parts[0], "a=group:BUNDLE")
	_, after, _ := strings.Cut(rest, "\r\n")
	group := "a=group:BUNDLE"
	for i := range n {
		group += " " + strconv.Itoa(i)
	}
	return strings.Join(append([]string{before + group + "\r\n" + after}, parts[1:n+1]...), "m=")
}

func brokenPatches() map[string]broken {
	var mu sync.Mutex
	tags, taken := map[string]string{}, map[string]string{} // by session: the present ETag, all candidates
	return map[string]broken{
		"weak ETag":         {fails: []string{"W17"}, reply: head("POST", func(h http.Header) { h.Set("ETag", "W/"+h.Get("ETag")) })},
		"lenient":           {fails: []string{"W18"}, strict: true},
		"ETag on a trickle": {fails: []string{"W23"}, reply: head("PATCH", func(h http.Header) { h.Set("ETag", `"new"`) })},
		"204 for a stale tag": {
			fails: []string{"W18", "W31"},
			reply: func(r *http.Response, b string) string {
				mu.Lock()
				defer mu.Unlock()
				if tag := r.Header.Get("ETag"); r.Request.Method == http.MethodPost && tag != "" {
					tags[r.Header.Get("Location")] = tag
				} else if tag != "" {
					tags[r.Request.URL.Path] = tag
				}
				return b
			},
			answer: says(204, func(r *http.Request, _ string) bool {
				mu.Lock()
				defer mu.Unlock()
				m := r.Header.Get("If-Match")
				return patched(r) && m != "" && !strings.Contains(m, "*") && m != tags[r.URL.Path]
			}),
		},
		"any PATCH is fine": {fails: []string{"W15"}, answer: says(204, func(r *http.Request, _ string) bool {
			return patched(r) && r.Header.Get("Content-Type") != sdpfrag.ContentType
		})},
		"no restarts, 501":   {fails: []string{"W14", "W16"}, answer: says(501, func(r *http.Request, _ string) bool { return strings.Contains(r.Header.Get("If-Match"), "*") })},
		"mDNS names refused": {fails: []string{"W24"}, answer: says(400, func(r *http.Request, b string) bool { return patched(r) && strings.Contains(b, ".local ") })},
		"end refused": {fails: []string{"W25"}, answer: says(400, func(r *http.Request, b string) bool {
			return patched(r) && strings.Contains(b, "a=candidate:1 ") && strings.Contains(b, "a=end-of-candidates")
		})},
		"no asterisk in quotes": {fails: []string{"W26"}, answer: says(412, func(r *http.Request, _ string) bool { return r.Header.Get("If-Match") == `"*"` })},
		"restart without ETag": {fails: []string{"W27"}, reply: func(r *http.Response, b string) string {
			if r.Request.Method == http.MethodPatch {
				r.Header.Del("ETag")
			}
			return b
		}},
		"old candidates kept": {fails: []string{"W28"}, request: func(r *http.Request, b string) string {
			mu.Lock()
			defer mu.Unlock()
			if !patched(r) || r.Header.Get("Content-Type") != sdpfrag.ContentType {
				return b
			}
			if r.Header.Get("If-Match") == "*" {
				return b + taken[r.URL.Path]
			}
			for line := range strings.Lines(b) {
				if strings.HasPrefix(line, "a=candidate:1 ") {
					taken[r.URL.Path] = line
				}
			}
			return b
		}},
		"lite all of a sudden": {fails: []string{"W29"}, reply: func(r *http.Response, b string) string {
			if r.Request.Method == http.MethodPatch && r.StatusCode == http.StatusOK {
				b = "a=ice-lite\r\n" + b
			}
			return b
		}},
		"what is useless spoils the rest": {fails: []string{"W24"}, request: func(_ *http.Request, b string) string {
			if strings.Contains(b, ".local ") {
				b = strings.ReplaceAll(b, "a=candidate:", "a=x-candidate:")
			}
			return b
		}},
		"restart with a wrong password": {fails: []string{"H10"}, reply: func(r *http.Response, b string) string {
			if r.Request.Method == http.MethodPatch {
				b = strings.Replace(b, "a=ice-pwd:", "a=ice-pwd:x", 1)
			}
			return b
		}},
		"slow refusals": {fails: []string{"H9"}, answer: func(_ http.ResponseWriter, r *http.Request, _ string) bool {
			if patched(r) && r.Header.Get("Content-Type") == "application/json" {
				<-time.After(2100 * time.Millisecond)
			}
			return false
		}},
		"token for PATCH": {fails: []string{"H4"}, answer: says(401, func(r *http.Request, _ string) bool { return patched(r) && r.Header.Get("Authorization") == "" })},
	}
}

func brokenEnds() map[string]broken {
	gone := func(r *http.Response) bool {
		return r.StatusCode == http.StatusNotFound && (r.Request.Method == http.MethodPatch || r.Request.Method == http.MethodGet)
	}
	return map[string]broken{
		"DELETE does nothing": {fails: []string{"W10", "W11", "W19", "H5"}, answer: says(200, func(r *http.Request, _ string) bool { return r.Method == http.MethodDelete })},
		"nothing ever ends": {fails: []string{"W9", "W10", "W19", "H5"}, reply: func(r *http.Response, b string) string {
			if gone(r) {
				r.StatusCode, b = http.StatusNoContent, ""
			}
			return b
		}},
		"a refused restart ends the session": {fails: []string{"H10", "W30"}, ends: func(r *http.Request, b string) bool {
			return patched(r) && r.Header.Get("If-Match") == "*" && !strings.Contains(b, "a=ice-pwd:")
		}},
		"If-Match counts for DELETE": {fails: []string{"W19"}, answer: says(412, func(r *http.Request, _ string) bool {
			return r.Method == http.MethodDelete && r.Header.Get("If-Match") != ""
		})},
		"token for DELETE": {fails: []string{"H5"}, answer: says(401, func(r *http.Request, _ string) bool {
			return r.Method == http.MethodDelete && r.Header.Get("Authorization") == ""
		})},
		"DELETE is 204": {fails: []string{"H8"}, reply: func(r *http.Response, b string) string {
			if r.Request.Method == http.MethodDelete && r.StatusCode == http.StatusOK {
				r.StatusCode = http.StatusNoContent
			}
			return b
		}},
	}
}

func brokenHeaders() map[string]broken {
	link := func(value string) func(*http.Response, string) string {
		return head("POST", func(h http.Header) { h.Add("Link", value) })
	}
	var mu sync.Mutex
	hidden := map[string]string{} // counted URLs of sessions to true ones
	return map[string]broken{
		"301": {fails: []string{"W38"}, answer: func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if r.Method != http.MethodPost || r.URL.RawQuery != "" {
				return false
			}
			http.Redirect(w, r, r.URL.Path+"?moved=1", http.StatusMovedPermanently)
			return true
		}},
		"GET is refused": {fails: []string{"W1"}, answer: says(405, func(r *http.Request, _ string) bool {
			return r.Method == http.MethodGet && strings.Count(r.URL.Path, "/") > 3
		})},
		"CORS without DELETE": {fails: []string{"W12"}, reply: head("OPTIONS", func(h http.Header) {
			h.Set("Access-Control-Allow-Methods", strings.ReplaceAll(h.Get("Access-Control-Allow-Methods"), "DELETE", "X"))
		})},
		"CORS without If-Match": {fails: []string{"H1"}, answer: says(403, func(r *http.Request, _ string) bool {
			return strings.Contains(r.Header.Get("Access-Control-Request-Headers"), "if-match")
		})},
		"nothing exposed":     {fails: []string{"H2"}, reply: head("POST", func(h http.Header) { h.Del("Access-Control-Expose-Headers") })},
		"no Accept-Post":      {fails: []string{"W13"}, reply: head("OPTIONS", func(h http.Header) { h.Del("Accept-Post") })},
		"Link without target": {fails: []string{"W40"}, reply: link(`stun:h:3478; rel="ice-server"`)},
		"Link escaped":        {fails: []string{"W40"}, reply: link(`<turn:h%3A3478>; rel="ice-server"; username="u"; credential="p"; credential-type="password"`)},
		"Link half a login":   {fails: []string{"W40"}, reply: link(`<turn:h:3478>; rel="ice-server"; username="u"`)},
		"Link on a preflight": {fails: []string{"W41"}, reply: head("OPTIONS", func(h http.Header) { h.Add("Link", `<stun:h:3478>; rel="ice-server"`) })},
		"odd extension":       {fails: []string{"W46"}, reply: link(`<https://h/x>; rel="urn:ietf:params:whip:extra:y"`)},
		"no challenge":        {fails: []string{"W43"}, reply: func(r *http.Response, b string) string { r.Header.Del("WWW-Authenticate"); return b }},
		"query in Location":   {fails: []string{"H3"}, reply: head("POST", func(h http.Header) { h.Set("Location", h.Get("Location")+"?a=b") })},
		"type with charset":   {fails: []string{"H6"}, reply: head("POST", func(h http.Header) { h.Set("Content-Type", "application/sdp; charset=utf-8") })},
		"counted sessions": {
			fails: []string{"W49"},
			reply: posted(func(r *http.Response, b string) string {
				mu.Lock()
				defer mu.Unlock()
				at := r.Header.Get("Location")
				counted := at[:strings.LastIndex(at, "/")+1] + strconv.Itoa(1000+len(hidden))
				hidden[counted] = at
				r.Header.Set("Location", counted)
				return b
			}),
			request: func(r *http.Request, b string) string {
				mu.Lock()
				defer mu.Unlock()
				if at := hidden[r.URL.Path]; at != "" {
					r.URL.Path = at
				}
				return b
			},
		},
	}
}
