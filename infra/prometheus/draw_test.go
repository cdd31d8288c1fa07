package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"weever/shared/eventually"
	"weever/shared/testkit/chromium"
	"weever/shared/testkit/planted"
)

// curve is one line of a panel.
type curve struct {
	Metric map[string]string `json:"metric"`
	Values [][2]any          `json:"values"`
	Legend string            `json:"legend"`
}

// draw puts a picture of the dashboard with the data of the last minute into the folder that WEEVER_SCREENSHOTS names, if it does, for people
// to look at: each panel at its place, by Chromium.
func (s *server) draw(t *testing.T, text string, d dashboard) {
	t.Helper()
	folder := os.Getenv("WEEVER_SCREENSHOTS")
	if folder == "" {
		return
	}
	eventually.Nil(t, 3*patience, "a minute to draw", func() error {
		found, err := s.query(`max(count_over_time(up[1m])) >= 58`)
		if err == nil && len(found) == 0 {
			err = errors.New("not yet")
		}
		return err
	})
	data := map[string][]curve{}
	now := time.Now()
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			var answer struct{ Result []curve }
			if err := s.ask("query_range", url.Values{
				"query": {expanded(target.Expr, "10s")}, "step": {"1s"},
				"start": {fmt.Sprint(now.Add(-time.Minute).Unix())}, "end": {fmt.Sprint(now.Unix())},
			}, &answer); err != nil {
				t.Fatal(err)
			}
			for _, c := range answer.Result {
				c.Legend = target.LegendFormat
				data[fmt.Sprint(p.ID)] = append(data[fmt.Sprint(p.ID)], c)
			}
		}
	}
	curves, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = fmt.Fprintf(w, "<!doctype html><meta charset=utf-8><body><script>const board = %s, data = %s;\n%s</script>", text, curves, planted.Read(t, "testdata/draw.js"))
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(page.Close)
	alloc, end := chromedp.NewExecAllocator(t.Context(), append(chromium.Flags(t.TempDir()), chromedp.WindowSize(1700, 1000))...)
	defer end()
	tab, shut := chromedp.NewContext(alloc)
	defer shut()
	ctx, cancel := context.WithTimeout(tab, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(page.URL)); err != nil {
		t.Fatal(err)
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	planted.Write(t, filepath.Join(folder, "dashboard.png"), string(picture))
}
