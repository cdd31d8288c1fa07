package storm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
)

// misshapen are ways in which a packet can be wrong though it is authentic.
func misshapen() map[string]func(*mallory) []byte {
	return map[string]func(*mallory) []byte{
		"another payload type": of(func(p *rtp.Packet) { p.PayloadType = 13 }),
		"another section": of(func(p *rtp.Packet) {
			p.SSRC += 2
			_ = p.SetExtension(malloryMid, []byte("9"))
		}),
		"oversized": of(func(p *rtp.Packet) { p.Payload = append(p.Payload, make([]byte, 3000)...) }),
		"padding too long": func(m *mallory) []byte {
			b := m.bytes(m.packet())
			b[0] |= 0x20 // the last byte says how much of it there is (RFC 3550 section 5.1)
			b[len(b)-1] = 255
			return b
		},
	}
}

// odd are packets that few expect; they may be sent on. Those of another SSRC belong to the one section that has their payload type (RFC 9143
// section 9.2).
func odd() map[string]func(*mallory) []byte {
	return map[string]func(*mallory) []byte{
		"another SSRC":     of(func(p *rtp.Packet) { p.SSRC++ }),
		"empty":            of(func(p *rtp.Packet) { p.Payload = nil }),
		"a cut descriptor": of(func(p *rtp.Packet) { p.Payload = []byte{0xff} }),
		"many sources":     of(func(p *rtp.Packet) { p.CSRC = make([]uint32, 15) }),
		"unknown extensions": of(func(p *rtp.Packet) {
			p.Extension, p.ExtensionProfile = true, 0x1234
			_ = p.SetExtension(0, make([]byte, 8))
		}),
		"long extensions":      of(func(p *rtp.Packet) { extend(p, 16) }),
		"short extensions":     of(func(p *rtp.Packet) { extend(p, 1) }),
		"very long extensions": of(func(p *rtp.Packet) { p.Extension, p.ExtensionProfile = true, 0x1000; extend(p, 80) }),
	}
}

func of(change func(*rtp.Packet)) func(*mallory) []byte {
	return func(m *mallory) []byte {
		p := m.packet()
		change(p)
		return m.bytes(p)
	}
}

// extend adds all extensions there can be, each so long.
func extend(p *rtp.Packet, n int) {
	for id := range uint8(14) {
		_ = p.SetExtension(id+1, make([]byte, n))
	}
}

// What a publisher sends that is misshapen is dropped and counted; her track goes on, and nobody else notices.
func TestMisshapenPackets(t *testing.T) {
	const each = 200
	s := newStage(t)
	s.publish("tea", "alice", client.Microphone(), client.Camera(synth.VP8, synth.Browser))
	m := s.mallory("tea")
	await(t, "mallory to be live", joinLimit, func() error {
		m.send(m.bytes(m.packet()))
		if n := s.figures().sum("weever_sessions", `role="pub"`, `state="live"`); n < 2 {
			return fmt.Errorf("%g are", n)
		}
		return nil
	})
	var all []*client.Subscriber
	var ears []*ear
	for i := range 3 {
		e := newEar("alice")
		cfg := s.visit("tea", fmt.Sprintf("viewer%d", i))
		cfg.Arrived = e.note
		v, err := client.Subscribe(within(s, joinLimit), cfg, 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Hangup)
		all, ears = append(all, v), append(ears, e)
	}
	// pace sends what is wrong between what is right.
	pace := func(wrong func()) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range each {
			m.send(m.bytes(m.packet()))
			wrong()
			<-tick.C
		}
	}
	shapes := misshapen()
	maps.Copy(shapes, odd())
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		before := s.figures()
		pace(func() { m.send(shapes[name](m)) })
		m.counted(name, before, each, misshapen()[name] != nil)
	}
	before := s.figures()
	pace(func() { // cannot be encrypted: nobody could say where its header ends
		p := m.packet()
		extend(p, 4)
		if _, err := m.conn.Write(m.bytes(p)[:12+len(p.Payload)]); err != nil {
			t.Fatal(err)
		}
	})
	m.counted("extensions cut off", before, each, true)

	was, _ := all[0].Track("mallory", "video0")
	pace(func() {})
	if _, err := all[0].AwaitTrack(within(t, 5*time.Second), "mallory", "video0", func(st client.TrackStats) bool { return st.Packets > was.Packets+each*3/4 }); err != nil {
		t.Errorf("mallory's track does not go on: %v", err)
	}
	s.goOn(all, ears, 0)
	m.leave()
}

// counted waits until so many packets are counted as dropped, if they must be.
func (s *stage) counted(name string, before figures, n int, must bool) {
	s.Helper()
	late := time.Now().Add(5 * time.Second)
	for {
		now := s.figures().since(before)
		drops := now.unwanted()
		if drops < float64(n) && must && time.Now().Before(late) {
			hold(50 * time.Millisecond)
			continue
		}
		s.Logf("%d times %s: dropped: %s", n, name, cmp.Or(now.named("weever_drops_total"), "nothing"))
		if must && drops < float64(n) {
			s.Errorf("%s: %.0f of %d are counted as dropped", name, drops, n)
		}
		return
	}
}
