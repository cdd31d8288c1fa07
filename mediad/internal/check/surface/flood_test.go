package surface

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limiting is a WHIP endpoint that refuses with the status after so many DELETEs.
func limiting(t *testing.T, after int64, status int, header string) *checklist.Run {
	t.Helper()
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("Location", "/session/one")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(probe.Plain("recvonly").SDP()))
		case strings.HasSuffix(r.URL.Path, "/one"):
		case n.Add(1) > after && after > 0:
			if header != "" {
				w.Header().Set("Retry-After", header)
			}
			w.WriteHeader(status)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(srv.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: floodWidth}
	t.Cleanup(transport.CloseIdleConnections)
	return checklist.NewRun(checklist.Config{Endpoint: srv.URL, Flood: true}, transport)
}

func TestFlood(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after  int64
		status int
		header string
		want   checklist.Status
	}{
		"limited":   {100, http.StatusTooManyRequests, "1", checklist.Pass},
		"full":      {100, http.StatusServiceUnavailable, "1", checklist.Pass},
		"impolite":  {100, http.StatusTooManyRequests, "", checklist.Fail},
		"unlimited": {0, 0, "", checklist.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if v := flood(t.Context(), limiting(t, c.after, c.status, c.header)); v.Status != c.want {
				t.Errorf("%+v", v)
			}
		})
	}
	calm := checklist.NewRun(checklist.Config{Endpoint: "http://127.0.0.1:1"}, nil)
	if v := flood(t.Context(), calm); v.Status != checklist.None {
		t.Errorf("%+v", v)
	}
}

// A server that answers nothing at all makes no row pass, but for that it does not redirect.
func TestNothingIsPassedUnseen(t *testing.T) {
	t.Parallel()
	for _, player := range []bool{false, true} {
		for _, row := range append(Rows(player), Last(player)...) {
			r := checklist.NewRun(checklist.Config{Endpoint: "http://127.0.0.1:1", Player: player}, nil)
			v := row.Judge(t.Context(), r)
			if v.Status == checklist.Pass && row.ID != "W38" && row.ID != "E15" || v.Evidence == "" {
				t.Errorf("%s: %+v", row.ID, v)
			}
		}
	}
}
