package main

import (
	"fmt"
	"testing"
	"time"

	"weever/mediad/internal/client"
)

// addedSimulcast is how often the test below tries what must never fail.
const addedSimulcast = 10

// A page publishes its microphone and adds its camera later, in three sizes. A viewer at another node gets the picture each time.
func TestSimulcastAddedInTheBrowser(t *testing.T) {
	c := newCluster(t, 2)
	nodes := []*testNode{start(t, c.siteConfig(0)), start(t, c.siteConfig(1))}
	chrome := browser(t)
	p := page(t, chrome, nodes[0].PublicURL()+"/")
	eval[any](t, p, pageKit)
	for i := range addedSimulcast {
		room := fmt.Sprintf("tea%d", i)
		id := eval[string](t, p, fmt.Sprintf(`
			const { publish } = await import('/weever.js');
			const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 480 } });
			kit.camera = stream.getVideoTracks()[0];
			kit.me = publish({ room: %q, id: 'alice', tracks: stream.getAudioTracks(), simulcast: true });
			await kit.me.opened();
			return kit.me.fullId;`, room))
		v := subscribe(t, nodes[1], room, "viewer")
		plays(t, v, id, "audio0")
		began := time.Now()
		eval[any](t, p, `await kit.me.replaceTrack('video', kit.camera)`)
		if _, err := v.AwaitTrack(within(t, 10*time.Second), id, "video0", func(st client.TrackStats) bool { return st.Packets > 20 && !st.KeyAt.IsZero() }); err != nil {
			t.Errorf("try %d: no picture: %v: %+v; sent %v", i, err, v.Tracks(), eval[[]string](t, p, sentLayersJS))
		} else {
			t.Logf("try %d: a picture after %v", i, time.Since(began).Round(time.Millisecond))
		}
		eval[any](t, p, `kit.me.leave(); kit.camera.stop()`)
		v.Hangup()
	}
}

// sentLayersJS lists the layers that a page sends, with their packets.
const sentLayersJS = `
	return [...(await kit.me.getStats()).values()].filter((s) => s.type === 'outbound-rtp' && s.kind === 'video')
		.map((s) => s.rid + ' ' + s.packetsSent + ' packets, ' + s.frameWidth + ' wide');`
