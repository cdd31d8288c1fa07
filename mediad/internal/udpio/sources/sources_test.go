package sources

import (
	"net/netip"
	"testing"
	"time"

	"weever/mediad/internal/udpio/peek"
)

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(1000+i)) //nolint:gosec // small
}

func id(i int) peek.ID { return peek.ID{byte(i), byte(i >> 8), 1} }

// Only an address that is silent gives way, the most silent one first, and never the one that media comes from.
func TestReplacement(t *testing.T) {
	var s List
	now := time.Now()
	for i := range maxSources {
		s.Answered(address(i), id(i), now.Add(time.Duration(i)*time.Millisecond))
	}
	s.HeardMedia(address(0), now)
	if got := s.Judge(address(100), id(100), now.Add(silent-time.Millisecond)); got != TooMany {
		t.Fatalf("verdict %d while all were heard lately", got)
	}
	later := now.Add(time.Hour)
	s.Judge(address(1), id(101), later)
	if got := s.Judge(address(100), id(100), later); got != Pass {
		t.Fatalf("verdict %d", got)
	}
	s.Answered(address(100), id(100), later)
	for i, known := range map[int]bool{0: true, 1: true, 2: false, 3: true, 100: true} {
		if s.find(address(i)) >= 0 != known {
			t.Errorf("address %d is known: %v", i, !known)
		}
	}
	for i := range 10 * maxAdmitted {
		later = later.Add(silent)
		if s.Judge(address(200+i), id(200+i), later) == Pass {
			s.Answered(address(200+i), id(200+i), later)
		}
	}
	if s.admitted != maxAdmitted || len(s.known) != maxSources || s.find(address(0)) < 0 {
		t.Errorf("%d admitted, %d known", s.admitted, len(s.known))
	}
}
