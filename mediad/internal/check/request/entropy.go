package request

import "math"

// Guess says how hard to guess the texts are of which samples are given: the characters that differ from sample to sample, how
// many kinds of character are among them, and what that makes in bits at most. Texts of unequal length are compared as far as the
// shortest goes. It is an upper bound: a bad generator looks as good as a good one.
type Guess struct {
	Changing int
	Kinds    int
	Bits     float64
}

// Entropy looks at samples; fewer than two say nothing.
func Entropy(samples []string) Guess {
	if len(samples) < 2 {
		return Guess{}
	}
	shortest := len(samples[0])
	for _, s := range samples {
		shortest = min(shortest, len(s))
	}
	var g Guess
	var digit, hexLower, hexUpper, lower, upper, other bool
	for i := range shortest {
		same := true
		for _, s := range samples {
			same = same && s[i] == samples[0][i]
		}
		if same {
			continue
		}
		g.Changing++
		for _, s := range samples {
			switch c := s[i]; {
			case c >= '0' && c <= '9':
				digit = true
			case c >= 'a' && c <= 'f':
				hexLower = true
			case c >= 'A' && c <= 'F':
				hexUpper = true
			case c >= 'g' && c <= 'z':
				lower = true
			case c >= 'G' && c <= 'Z':
				upper = true
			default:
				other = true
			}
		}
	}
	g.Kinds = alphabet(digit, hexLower || lower, hexUpper || upper, lower || upper, other)
	if g.Changing > 0 {
		g.Bits = float64(g.Changing) * math.Log2(float64(g.Kinds))
	}
	return g
}

// alphabet is the size of the smallest usual alphabet that has all of these.
func alphabet(digit, lower, upper, beyondHex, other bool) int {
	n := 0
	if digit {
		n += 10
	}
	letters := 26
	if !beyondHex {
		letters = 6
	}
	if lower {
		n += letters
	}
	if upper {
		n += letters
	}
	if other {
		n += 2 // - and _ of base64url
	}
	return max(n, 1)
}
