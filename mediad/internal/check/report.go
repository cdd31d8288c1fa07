package check

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"weever/mediad/internal/check/checklist"
)

// Result is a row with its outcome.
type Result struct {
	ID        string           `json:"id"`
	Level     checklist.Level  `json:"level"`
	Status    checklist.Status `json:"status"`
	Evidence  string           `json:"evidence"`
	Statement string           `json:"statement"`
}

// Report is the outcome of a check. No token, password or session URL is in it.
type Report struct {
	Endpoint      string   `json:"endpoint"`
	Role          string   `json:"role"` // "whip" or "whep"
	Results       []Result `json:"results"`
	Passed        int      `json:"passed"`
	Failed        int      `json:"failed"`
	Warnings      int      `json:"warnings"`
	NotApplicable int      `json:"not_applicable"`
}

// Err names the rows that must hold and have failed; nil when there are none.
func (r *Report) Err() error {
	var failed []string
	for _, x := range r.Results {
		if x.Level == checklist.Must && x.Status == checklist.Fail {
			failed = append(failed, x.ID)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("the server does not do what it must: %s", strings.Join(failed, ", "))
}

func (r *Report) add(row checklist.Row, v checklist.Verdict, secrets []string) {
	r.Results = append(r.Results, Result{row.ID, row.Level, v.Status, checklist.Clean(v.Evidence, secrets), row.Statement})
}

// finish sorts and counts.
func (r *Report) finish() {
	slices.SortStableFunc(r.Results, byID)
	for _, x := range r.Results {
		switch x.Status {
		case checklist.Pass:
			r.Passed++
		case checklist.Fail:
			r.Failed++
		case checklist.Warn:
			r.Warnings++
		case checklist.None:
			r.NotApplicable++
		}
	}
}

// WriteTable prints the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s (%s)\n\n", r.Endpoint, r.Role); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, x := range r.Results {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n\t\t\t  %s\n", x.ID, x.Level, x.Status, x.Statement, x.Evidence)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d passed, %d failed, %d warnings, %d not applicable\n", r.Passed, r.Failed, r.Warnings, r.NotApplicable)
	return err
}

// WriteJSON prints the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}
