package offers

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// countering is a WHEP endpoint that makes a counter-offer to what it does not understand.
func countering(t *testing.T, kind string, patch func(body string) int) *checklist.Run {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Location", "/session/1")
			w.WriteHeader(http.StatusNotAcceptable)
			_, _ = io.WriteString(w, probe.Plain("sendonly").SDP())
		case r.Method == http.MethodPatch && r.Header.Get("Content-Type") == "application/sdp":
			w.WriteHeader(patch(string(body)))
		}
	}))
	t.Cleanup(srv.Close)
	return checklist.NewRun(checklist.Config{Endpoint: srv.URL, Player: true}, nil)
}

func answers(body string) int {
	if strings.HasPrefix(body, "v=0") && strings.Contains(body, "a=recvonly") {
		return http.StatusNoContent
	}
	return http.StatusBadRequest
}

func TestCounterOffers(t *testing.T) {
	t.Parallel()
	soon, past := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat)
	const pass, fail, none = checklist.Pass, checklist.Fail, checklist.None
	for name, c := range map[string]struct {
		kind  string
		patch func(string) int
		want  [3]checklist.Status // of E4, E5, E6
	}{
		"good":         {`application/sdp; valid-until="` + soon + `"`, answers, [3]checklist.Status{pass, pass, pass}},
		"without time": {"application/sdp", answers, [3]checklist.Status{pass, none, pass}},
		"too late":     {`application/sdp; valid-until="` + past + `"`, answers, [3]checklist.Status{pass, fail, pass}},
		"no date":      {`application/sdp; valid-until="soon"`, answers, [3]checklist.Status{pass, fail, pass}},
		"another type": {"text/plain", answers, [3]checklist.Status{fail, none, pass}},
		"takes all":    {"application/sdp", func(string) int { return 204 }, [3]checklist.Status{pass, none, fail}},
		"takes none":   {"application/sdp", func(string) int { return 400 }, [3]checklist.Status{pass, none, fail}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := countering(t, c.kind, c.patch)
			for i, row := range Counter() {
				if v := row.Judge(t.Context(), r); v.Status != c.want[i] {
					t.Errorf("%s: %+v", row.ID, v)
				}
			}
		})
	}
}

// A server that answers nothing at all makes no row pass.
func TestNothingIsPassedUnseen(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	for _, player := range []bool{false, true} {
		for _, row := range append(Rows(player), Counter()...) {
			r := checklist.NewRun(checklist.Config{Endpoint: srv.URL, Player: player}, nil)
			if v := row.Judge(t.Context(), r); v.Status == checklist.Pass || v.Evidence == "" {
				t.Errorf("%s: %+v", row.ID, v)
			}
		}
	}
}
