// Package answers counts what an HTTP server answers.
package answers

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Counted returns next with its answers counted in vec, whose labels are method and code. Whatever clients send, there are few of each.
func Counted(vec *prometheus.CounterVec, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &counted{ResponseWriter: w, code: http.StatusInternalServerError} // stays so if next panics before it says anything
		defer func() { vec.WithLabelValues(method(r.Method), code(c.code)).Inc() }()
		next.ServeHTTP(c, r)
		c.answer(http.StatusOK) // of one that wrote nothing
	})
}

// counted notes the status of one answer.
type counted struct {
	http.ResponseWriter
	code  int
	wrote bool
}

// WriteHeader implements http.ResponseWriter. An answer may have interim headers before its own.
func (c *counted) WriteHeader(code int) {
	if code >= http.StatusOK {
		c.answer(code)
	}
	c.ResponseWriter.WriteHeader(code)
}

// answer notes the first status.
func (c *counted) answer(code int) {
	if !c.wrote {
		c.code, c.wrote = code, true
	}
}

// Write implements http.ResponseWriter.
func (c *counted) Write(b []byte) (int, error) {
	c.answer(http.StatusOK)
	return c.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// method is a label: a client may send any word.
func method(m string) string {
	known := []string{http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut}
	if slices.Contains(known, m) {
		return m
	}
	return "other"
}

// code is a label. A status that nobody has heard of counts by its first digit.
func code(status int) string {
	if http.StatusText(status) != "" {
		return strconv.Itoa(status)
	}
	return strconv.Itoa(status/100) + "xx"
}
