package apierr

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func write(err error, accept string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	_ = Write(w, r, err)
	return w
}

func TestEveryCodeHasAStatus(t *testing.T) {
	t.Parallel()
	for code, row := range table {
		w := write(New(code, "do %s", "this"), "application/json")
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		if w.Code != row.status || p.Status != row.status || p.Detail != "do this" || p.Type != "urn:weever:problem:"+string(code) || p.Title == "" {
			t.Errorf("%s: %d %+v", code, w.Code, p)
		}
		if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
			t.Errorf("%s: %s", code, ct)
		}
	}
}

func TestCausesStayInside(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp 10.0.0.7:6379: secret")
	for _, err := range []error{cause, fmt.Errorf("reading: %w", cause), Wrap(Unavailable, cause, "try again")} {
		w := write(err, "")
		if strings.Contains(w.Body.String(), "secret") || strings.Contains(fmt.Sprint(w.Header()), "secret") {
			t.Errorf("%v: %s", err, w.Body)
		}
		if !errors.Is(From(err), cause) {
			t.Errorf("the cause of %v is lost to the log", err)
		}
	}
	if w := write(cause, ""); w.Code != http.StatusInternalServerError {
		t.Errorf("an unknown error gives %d", w.Code)
	}
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "", time.Millisecond: "1", time.Second: "1", 1500 * time.Millisecond: "2"} {
		if got := write(New(Unavailable, "later").After(d), "").Header().Get("Retry-After"); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// The original clients compare the body of a 401 with "bad token"; whoever accepts JSON gets the problem.
func TestBadToken(t *testing.T) {
	t.Parallel()
	for accept, plain := range map[string]bool{
		"": true, "*/*": true, "text/plain": true, "application/json": false, "text/html, application/problem+json;q=0.5": false, "APPLICATION/JSON": false,
	} {
		w := write(New(BadToken, "create a token"), accept)
		if got := w.Body.String() == "bad token"; got != plain || w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("Accept %q: %d %s", accept, w.Code, w.Body)
		}
	}
}
