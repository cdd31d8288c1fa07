package padding

import (
	"slices"
	"testing"

	"weever/mediad/internal/fanout/history"
)

func TestEqualise(t *testing.T) {
	for _, tc := range []struct {
		sizes, want []int
	}{
		{[]int{1000}, []int{1000}},
		{[]int{1000, 1000, 400}, []int{1000, 1000, 400}},
		{[]int{1000, 1001, 1001}, []int{1001, 1001, 1001}},
		{[]int{999, 1000, 1001, 1002}, []int{1002, 1002, 1002, 1002}},
		{[]int{1001, 1000, 1001}, []int{1001, 1001, 1001}},
		{[]int{1001, 1000, 1000}, []int{1001, 1001, 1000}},           // the last one may be shorter
		{[]int{100, 1000, 999, 998}, []int{100, 1000, 1000, 998}},    // too much is missing
		{[]int{960, 1000, 1040, 1080}, []int{960, 1000, 1040, 1080}}, // 48 are not enough for all: see below
		{nil, nil},
	} {
		burst := make([]history.Packet, len(tc.sizes))
		for i, n := range tc.sizes {
			burst[i].Payload = make([]byte, n)
		}
		Equalise(burst)
		var got []int
		for i := range burst {
			if burst[i].Pad > within {
				t.Errorf("%v: packet %d is padded by %d", tc.sizes, i, burst[i].Pad)
			}
			got = append(got, len(burst[i].Payload)+int(burst[i].Pad))
		}
		if tc.sizes != nil && tc.sizes[0] == 960 {
			continue // each is within reach of the next, not of the last: any outcome within the bound is right
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%v: %v, want %v", tc.sizes, got, tc.want)
		}
	}
}
