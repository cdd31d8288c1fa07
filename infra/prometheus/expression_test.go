package prometheus

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// expression is PromQL as Prometheus' own parser reads it.
type expression struct {
	Type     string
	Name     string // of a selector
	Matchers []struct{ Name, Type, Value string }
	Val      string // of a string

	Op       string
	Grouping []string
	Without  bool
	Matching *struct {
		Labels, Include []string
		On              bool
	}
	Func struct{ Name string }

	LHS, RHS, Expr *expression
	Args           []*expression
}

// parse has Prometheus parse an expression.
func (s *server) parse(expr string) (*expression, error) {
	var e expression
	if err := s.ask("parse_query", url.Values{"query": {expr}}, &e); err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	return &e, nil
}

// checker finds what an expression says of metrics that is not so.
type checker struct {
	words  vocabulary
	faults []string
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// labels returns those that the result of e can have, and notes the faults within.
func (c *checker) labels(e *expression) map[string]bool {
	switch e.Type {
	case "vectorSelector", "matrixSelector":
		return c.selector(e)
	case "aggregation":
		have := c.labels(e.Expr)
		c.need(e.Grouping, have, e.Op)
		if e.Op == "topk" {
			return have
		}
		if !e.Without {
			return set(e.Grouping...)
		}
		for _, l := range e.Grouping {
			delete(have, l)
		}
		return have
	case "binaryExpr":
		l, r := c.labels(e.LHS), c.labels(e.RHS)
		if e.Matching != nil {
			if e.LHS.Type != "numberLiteral" && e.RHS.Type != "numberLiteral" {
				c.need(e.Matching.Labels, l, e.Op)
				if e.Matching.On {
					c.need(e.Matching.Labels, r, e.Op)
				}
			}
			c.need(e.Matching.Include, r, e.Op)
		}
		maps.Copy(l, r)
		return l
	case "call":
		return c.call(e)
	case "parenExpr", "unaryExpr", "subquery":
		return c.labels(e.Expr)
	case "numberLiteral", "stringLiteral":
		return set()
	}
	c.fault("a %s is not known to this test", e.Type)
	return set()
}

func (c *checker) selector(e *expression) map[string]bool {
	have, known := c.words.labels(e.Name)
	if !known {
		c.fault("no node shows the metric %q", e.Name)
	}
	for _, m := range e.Matchers {
		if m.Name == "__name__" || !known {
			continue
		}
		if !have[m.Name] {
			c.fault("%s has no label %s", e.Name, m.Name)
			continue
		}
		for value := range strings.SplitSeq(m.Value, "|") {
			if simple.MatchString(value) && !c.words.says(e.Name, m.Name, value) {
				c.fault("%s is never %q in %s", m.Name, value, e.Name)
			}
		}
	}
	return have
}

// simple is a value that stands for itself also in a regular expression.
var simple = regexp.MustCompile(`^[a-z0-9_]+$`)

func (c *checker) call(e *expression) map[string]bool {
	have := set()
	for _, a := range e.Args {
		maps.Copy(have, c.labels(a))
	}
	switch e.Func.Name {
	case "histogram_quantile":
		c.need([]string{"le"}, have, e.Func.Name)
		delete(have, "le")
	case "label_replace":
		have[e.Args[1].Val] = true
	}
	return have
}

func (c *checker) need(labels []string, have map[string]bool, where string) {
	for _, l := range labels {
		if !have[l] {
			c.fault("%s: there is no label %s, but %v", where, l, slices.Sorted(maps.Keys(have)))
		}
	}
}

// check returns the labels of an expression's result, and its faults.
func (s *server) check(words vocabulary, expr string) (labels map[string]bool, faults []string) {
	e, err := s.parse(expr)
	if err != nil {
		return nil, []string{err.Error()}
	}
	c := checker{words: words}
	labels = c.labels(e)
	for i, f := range c.faults {
		c.faults[i] = f + ": " + expr
	}
	return labels, c.faults
}

func set(members ...string) map[string]bool {
	m := map[string]bool{}
	for _, l := range members {
		m[l] = true
	}
	return m
}
