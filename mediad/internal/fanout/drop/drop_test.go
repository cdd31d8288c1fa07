package drop

import (
	"maps"
	"testing"
)

func TestCounters(t *testing.T) {
	var c Counters
	c.Add(Late, 2)
	c.Add(NackBudget, 1)
	c.Add(Late, 1)
	counts := c.Read()
	if counts[Late] != 3 || counts[NackBudget] != 1 || counts[Waiting] != 0 {
		t.Errorf("counts = %v", counts)
	}
	named := maps.Collect(counts.AtStream())
	if _, there := named[NackBudget.String()]; there || len(named) != int(Waiting) {
		t.Errorf("of a stream: %v", named)
	}
	maps.Insert(named, counts.AtViewer())
	if len(named) != int(reasons) {
		t.Errorf("%d names for %d reasons: two share one, or one is missing", len(named), reasons)
	}
	if named[Late.String()] != 3 || named[NackBudget.String()] != 1 {
		t.Errorf("named = %v", named)
	}
	if sum := counts.Plus(Counts{Late: 1, NackBudget: 2}); sum[Late] != 4 || sum[NackBudget] != 3 || counts[Late] != 3 {
		t.Errorf("the sum is %v, of %v", sum, counts)
	}
	if _, empty := named[""]; empty {
		t.Error("a reason has no name")
	}
}
