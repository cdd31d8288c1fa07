package nodes

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/hashicorp/consul/api"
)

// Whatever a catalogue holds, the list is bounded, in order and without doubles.
func FuzzPeers(f *testing.F) {
	f.Add([]byte(`[{"Node":{"Address":"10.0.0.1"},"Service":{"ID":"a","Port":8443,"Meta":{"epoch":"7","region":"eu","version":"1"}},"Checks":[{"CheckID":"c","Status":"passing"}]}]`))
	f.Add([]byte(`[null,{"Service":{"ID":"a"},"Checks":[null]},{"Service":{"ID":"a"}},{"Service":{"ID":"a","Meta":{"epoch":"x"}}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var entries []*api.ServiceEntry
		if json.Unmarshal(text, &entries) != nil {
			return
		}
		list := peersOf(entries)
		if len(list) > maxPeers || !slices.IsSortedFunc(list, func(a, b Peer) int {
			if a.ID < b.ID {
				return -1
			}
			return 1
		}) {
			t.Fatalf("%v", list)
		}
		for _, p := range list {
			if p.ID == "" || len(p.ID)+len(p.Region)+len(p.Version) > 3*maxField || p.Epoch < 0 {
				t.Fatalf("%+v", p)
			}
		}
	})
}
