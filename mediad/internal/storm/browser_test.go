package storm

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"weever/shared/testkit/chromium"
	"weever/shared/testkit/guest"
	"weever/shared/testkit/netns/line"
)

// shown is what a page's viewer has got so far, in the words of getStats.
type shown struct {
	FramesDecoded, FramesDropped, KeyFramesDecoded int
	PacketsReceived, PacketsLost                   int // lost: also those that came again
	NackCount, PliCount                            int
	RetransmittedPacketsReceived, FreezeCount      int
	TotalFreezesDuration                           float64 // s
	Timestamp                                      float64 // ms
}

const shownJS = `
	if (window.weever?.subscriber.state !== 'connected') return {};
	for (const s of (await window.weever.subscriber.getStats()).values()) if (s.type === 'inbound-rtp' && s.kind === 'video') return s;
	return {};`

const encodedJS = `
	for (const s of (await window.weever.publisher.getStats()).values()) if (s.type === 'outbound-rtp' && s.kind === 'video') return s.framesEncoded;
	return 0;`

// since is what has been added since an earlier reading.
func (s shown) since(b shown) shown {
	return shown{
		s.FramesDecoded - b.FramesDecoded, s.FramesDropped - b.FramesDropped, s.KeyFramesDecoded - b.KeyFramesDecoded,
		s.PacketsReceived - b.PacketsReceived, s.PacketsLost - b.PacketsLost, s.NackCount - b.NackCount, s.PliCount - b.PliCount,
		s.RetransmittedPacketsReceived - b.RetransmittedPacketsReceived, s.FreezeCount - b.FreezeCount,
		s.TotalFreezesDuration - b.TotalFreezesDuration, s.Timestamp - b.Timestamp,
	}
}

// browse opens a page of the node's site in a Chromium of its own.
func (g *away) browse(id string, more url.Values) {
	g.Helper()
	q := url.Values{"room": {"screen"}, "id": {id}, "autojoin": {"1"}}
	for k, v := range more {
		q[k] = v
	}
	guest.Call[guest.Nothing](g.Guest, "Browse", chromium.Page{URL: g.url() + "/?" + q.Encode(), Profile: g.TempDir()})
}

// eval runs the body of an async function in the page.
func eval[T any](g *away, body string) (out T) {
	g.Helper()
	if err := json.Unmarshal(guest.Call[[]byte](g.Guest, "Eval", body), &out); err != nil {
		g.Fatal(err)
	}
	return out
}

// A Chromium behind a line that loses one packet in twenty goes on showing pictures, which another Chromium makes.
func TestBrowserBehindLoss(t *testing.T) {
	const parts, each, loss = 3, 3 * time.Second, 0.05
	s := newStage(t, "--site")
	alice := s.send(s.lan.Station())
	alice.browse("alice", nil)
	station, cable := s.lan.FarStation(5)
	bob := s.send(station)
	bob.browse("bob", url.Values{"audio": {"0"}, "video": {"0"}})
	await(t, "pictures", 30*time.Second, func() error {
		if got := eval[shown](bob, shownJS); got.FramesDecoded < 30 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	for _, w := range []line.Way{line.ToStation, line.FromStation} {
		cable.Set(w, line.Weather{Delay: oneWay, Loss: loss})
	}
	hold(time.Second) // a longer way: the picture's own buffer grows once
	encoded, began, old := eval[int](alice, encodedJS), eval[shown](bob, shownJS), s.figures()
	last := began
	for i := range parts {
		hold(each)
		now := eval[shown](bob, shownJS)
		if part := now.since(last); part.FramesDecoded < 10 {
			t.Errorf("%d frames decoded in the part %d of %d: %+v", part.FramesDecoded, i+1, parts, part)
		}
		last = now
	}
	got, now := last.since(began), s.figures().since(old)
	encoded = eval[int](alice, encodedJS) - encoded
	t.Logf("%.1f s: %d frames encoded, %d decoded, %d dropped; %d key frames; %d freezes, %.2f s in all; %d packets received, %d lost, %d NACKs, %d PLIs, "+
		"%d retransmissions received", got.Timestamp/1000, encoded, got.FramesDecoded, got.FramesDropped, got.KeyFramesDecoded, got.FreezeCount,
		got.TotalFreezesDuration, got.PacketsReceived, got.PacketsLost, got.NackCount, got.PliCount, got.RetransmittedPacketsReceived)
	t.Logf("the node was asked for %g packets and sent %g again; not: %s", now.sum("weever_nacked_packets_total"), now.sum("weever_retransmitted_packets_total"),
		now.named("weever_drops_total"))
	if 2*got.FramesDecoded < encoded {
		t.Errorf("%d of %d frames were decoded", got.FramesDecoded, encoded)
	}
	if got.RetransmittedPacketsReceived < got.PacketsLost*3/4 || got.PacketsLost == 0 {
		t.Errorf("%d packets were lost, %d retransmissions came", got.PacketsLost, got.RetransmittedPacketsReceived)
	}
}
