package storm

import (
	"fmt"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
)

// A viewer who asks for a hundred thousand packets a second gets no more than her share, and nobody else notices.
func TestFloodOfNACKs(t *testing.T) {
	const lasts, every, pairs, each = 4 * time.Second, 40 * time.Millisecond, 240, 17
	s := newStage(t)
	s.publish("tea", "alice", client.Microphone(), client.Camera(synth.VP8, synth.Browser))
	var all []*client.Subscriber
	var ears []*ear
	for i := range 5 {
		e := newEar()
		cfg := s.visit("tea", fmt.Sprintf("viewer%d", i))
		cfg.Arrived = e.note
		all, ears = append(all, s.subscribe(cfg)), append(ears, e)
	}
	greedy := all[0]
	track, err := greedy.AwaitTrack(within(t, joinLimit), "alice", "video0", func(st client.TrackStats) bool { return st.Packets > 200 })
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ears {
		e.window()
	}
	hold(lasts / 2)
	calm := ears[1].window()
	before := s.figures()
	received := func() (n, resent uint64) {
		st, _ := greedy.Track("alice", "video0")
		return st.Packets, st.Duplicates + st.Repaired
	}
	packets0, resent0 := received()
	began := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	asked := 0
	for time.Since(began) < lasts {
		st, _ := greedy.Track("alice", "video0")
		nack := &rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: track.SSRC}
		for i := range pairs { // the newest packets, again and again, and some that never were
			nack.Nacks = append(nack.Nacks, rtcp.NackPair{PacketID: st.LastSeq - uint16(i%40)*each, LostPackets: 0xffff}) //nolint:gosec // small
		}
		if err := greedy.PeerConnection().WriteRTCP([]rtcp.Packet{nack}); err != nil {
			t.Fatal(err)
		}
		asked += pairs * each
		<-tick.C
	}
	seconds := time.Since(began).Seconds()
	stormy := ears[1].window()
	await(t, "the requests to be counted", 5*time.Second, func() error {
		if n := s.figures().since(before).sum("weever_nacked_packets_total"); n < float64(asked) {
			return fmt.Errorf("%g of %d are", n, asked)
		}
		return nil
	})
	now := s.figures().since(before)
	packets, resent := received()
	packets, resent = packets-packets0, resent-resent0
	answered, refused := now.sum("weever_retransmitted_packets_total"), now.sum("weever_drops_total", `place="viewer"`, `reason="nack_`)
	sentBytes, againBytes := now.sum("weever_rtp_sent_bytes_total", `kind="video"`)/5, now.sum("weever_retransmitted_bytes_total", `kind="video"`)
	t.Logf("%.0f packets a second were asked for; %.0f were sent again, %.0f not: %s; %.1f s of CPU time in %.1f s", float64(asked)/seconds, answered, refused,
		now.named("weever_drops_total"), now["process_cpu_seconds_total"], seconds)
	t.Logf("she got %d packets, %d of them again; %.0f bytes, %.0f again; p99 of another viewer %v, before %v", packets, resent, sentBytes, againBytes,
		ms(stormy.Quantile(0.99)), ms(calm.Quantile(0.99)))
	if answered+refused < float64(asked) {
		t.Errorf("%d packets were asked for, %.0f answers and %.0f refusals are counted", asked, answered, refused)
	}
	if againBytes > sentBytes/2+512<<10 {
		t.Errorf("%.0f bytes were sent again where %.0f were sent", againBytes, sentBytes)
	}
	if limit := 3*calm.Quantile(0.99) + 50*time.Millisecond; stormy.Quantile(0.99) > limit {
		t.Errorf("p99 of another viewer is %v, at most %v may be", stormy.Quantile(0.99), limit)
	}
	s.goOn(all, ears, 0)
}
