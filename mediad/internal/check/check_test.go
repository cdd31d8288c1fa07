package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"weever/mediad/internal/check/checklist"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every row of either checklist is there once, and nothing is left out by oversight.
func TestRowsAreComplete(t *testing.T) {
	t.Parallel()
	want := map[bool][]string{}
	add := func(player bool, letter string, from, to int) {
		for n := from; n <= to; n++ {
			want[player] = append(want[player], fmt.Sprintf("%s%d", letter, n))
		}
	}
	add(false, "W", 1, 49)
	add(false, "H", 1, 10)
	for _, r := range [][2]int{{9, 33}, {36, 44}, {46, 49}} { // what the WHEP draft takes over from WHIP
		add(true, "W", r[0], r[1])
	}
	add(true, "E", 1, 17)
	add(true, "H", 1, 10)
	for player, ids := range want {
		var got []Result
		for _, row := range list(player) {
			got = append(got, Result{ID: row.ID})
			if row.Statement == "" || row.Judge == nil || !slices.Contains([]checklist.Level{checklist.Must, checklist.Should, checklist.May}, row.Level) {
				t.Errorf("%+v", row)
			}
		}
		slices.SortStableFunc(got, byID)
		var sorted []string
		for _, x := range got {
			sorted = append(sorted, x.ID)
		}
		slices.SortStableFunc(ids, func(a, b string) int { return byID(Result{ID: a}, Result{ID: b}) })
		if !slices.Equal(sorted, ids) {
			t.Errorf("player %v:\ngot  %v\nwant %v", player, sorted, ids)
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := &Report{Endpoint: "https://h/x", Role: "whip"}
	for i, s := range []checklist.Status{checklist.Pass, checklist.Fail, checklist.None, checklist.Warn, checklist.Pass} {
		level := checklist.Must
		if i == 1 {
			level = checklist.Should
		}
		r.add(checklist.Row{ID: fmt.Sprintf("W%d", 10-i), Level: level, Statement: "it holds"}, checklist.Verdict{Status: s, Evidence: "POST → 201 & secret"}, []string{"secret"})
	}
	r.finish()
	if r.Passed != 2 || r.Failed != 1 || r.Warnings != 1 || r.NotApplicable != 1 || r.Results[0].ID != "W6" || r.Err() != nil {
		t.Errorf("%+v", r)
	}
	var table, js bytes.Buffer
	if err := errors.Join(r.WriteTable(&table), r.WriteJSON(&js)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"W9   S  FAIL  it holds", "POST → 201 & …", "2 passed, 1 failed, 1 warnings, 1 not applicable"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
	var back struct {
		Endpoint, Role string
		Results        []map[string]string
		NotApplicable  int `json:"not_applicable"`
	}
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || len(back.Results) != 5 || back.NotApplicable != 1 || back.Results[3]["status"] != "FAIL" {
		t.Errorf("%v: %s", err, js.String())
	}
	for _, key := range []string{"id", "level", "status", "evidence", "statement"} {
		if back.Results[0][key] == "" {
			t.Errorf("no %s in %v", key, back.Results[0])
		}
	}
	if strings.Contains(table.String()+js.String(), "secret") || !strings.Contains(js.String(), "→ 201 & …") {
		t.Error(js.String())
	}
	r.Results[4].Status = checklist.Fail
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "W10") || strings.Contains(err.Error(), "W9") {
		t.Errorf("%v", err)
	}
}

// A server that is none of WHIP or WHEP fails what it must do, and no row passes for want of anything to see.
func TestServerOfSomethingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler http.Handler
		whep    bool
	}{
		"nothing there":     {http.NotFoundHandler(), false},
		"a page":            {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }), false},
		"nothing there sub": {http.NotFoundHandler(), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(c.handler)
			defer srv.Close()
			report, err := Run(t.Context(), Config{Endpoint: srv.URL + "/x?key=secret", WHEP: c.whep, Token: "a-token"})
			if err != nil {
				t.Fatal(err)
			}
			if report.Err() == nil || report.Passed > 5 || strings.Contains(report.Endpoint, "secret") {
				var table bytes.Buffer
				_ = report.WriteTable(&table)
				t.Error(table.String())
			}
		})
	}
}

func TestRunRefusesWhatCannotBeChecked(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"", "ftp://h", "http://", "::", "http://127.0.0.1:1"} {
		if report, err := Run(t.Context(), Config{Endpoint: endpoint}); err == nil || report != nil {
			t.Errorf("%q: %+v, %v", endpoint, report, err)
		}
	}
}
