package main

import (
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/client"
)

// A full id has a plus sign, which is a space in a query; clients that do not escape it mean the plus.
func TestPlusInTheQuery(t *testing.T) {
	n := startNodes(t, 1)[0]
	p := publish(t, n, "plus", "alice+cam", client.Microphone())
	await(t, "the publisher to be live", 5*time.Second, func() bool {
		return do(t, "GET", n.PrivateURL()+"/list/pub/plus", "", nil).body != ""
	})
	offer := strings.ReplaceAll(p.PeerConnection().LocalDescription().SDP, "a=sendonly", "a=recvonly")
	var audio strings.Builder // the player's offer: no data channel
	for i, section := range strings.Split(offer, "m=") {
		if i == 0 || strings.HasPrefix(section, "audio") {
			audio.WriteString(map[bool]string{true: "m="}[i > 0] + section)
		}
	}
	for pub, want := range map[string]int{"alice+cam": 201, "alice%2Bcam": 201, "nobody+cam": 409} {
		if r := do(t, "POST", n.PublicURL()+"/sub/plus/bob?pub="+pub, audio.String(), sdpHeader); r.status != want {
			t.Errorf("?pub=%s: %d, want %d: %s", pub, r.status, want, r.body)
		}
	}
}
