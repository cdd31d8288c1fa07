package bandwidth

import (
	"time"

	"weever/mediad/internal/fanout/congestion"
	"weever/mediad/internal/metrics/census"
)

// Sum is what is known of viewers' links, all together.
type Sum struct {
	congestion.Stats
	States [congestion.States]int // viewers whose links are measured, by congestion.State
}

// Plus implements census.Sum.
func (s Sum) Plus(o Sum) Sum {
	s.Reports += o.Reports
	s.Malformed += o.Malformed
	s.Repeated += o.Repeated
	s.Cuts += o.Cuts
	for i, n := range o.States {
		s.States[i] += n
	}
	return s
}

// Book adds up the links of all viewers of a node. The zero Book is ready.
type Book = census.Book[struct{}, Sum]

// Total is what a Book knows.
type Total = census.Total[Sum]

func (s *Sharing) read() Sum {
	sum := Sum{Stats: s.cfg.Link.Stats()}
	if s.measure.Load() {
		sum.States[s.cfg.Link.Read(time.Now()).State]++
	}
	return sum
}
