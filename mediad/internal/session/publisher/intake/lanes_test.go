package intake

import (
	"slices"
	"testing"
)

// Offers of the tests.
const simulcast = "a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l"

// TestLanes: whose packets are, by all ways of saying it.
func TestLanes(t *testing.T) {
	n := newNode(t)
	fid := []string{"a=ssrc-group:FID 20 21", "a=ssrc:20 cname:x", "a=ssrc:21 cname:x"}
	plain := offer(section("audio", "0"), section("video", "1"))
	layers := offer(section("audio", "0"), section("video", "1", simulcast))
	declared := offer(section("video", "0"), section("video", "1", fid...))
	for name, c := range map[string]struct {
		offer string
		send  []sent
		want  map[string][]uint16
		lost  int // packets that are of no track
	}{
		"by MID": {
			plain,
			[]sent{{ssrc: 1, pt: 111, seq: 7, mid: "0"}, {ssrc: 2, pt: 96, seq: 8, mid: "1"}, {ssrc: 2, pt: 96, seq: 9}},
			map[string][]uint16{"audio0": {7}, "video0": {8, 9}},
			0,
		},
		"by MID and RID": {
			layers,
			[]sent{{ssrc: 1, pt: 96, seq: 7, mid: "1", rid: "h"}, {ssrc: 2, pt: 96, seq: 8, mid: "1", rid: "l"}, {ssrc: 1, pt: 96, seq: 8}},
			map[string][]uint16{"video0/h": {7, 8}, "video0/l": {8}},
			0,
		},
		"by the SSRC": {
			declared, []sent{{ssrc: 20, pt: 96, seq: 7}}, map[string][]uint16{"video0": nil, "video1": {7}}, 0,
		},
		"by the MID rather than the SSRC": {
			declared, []sent{{ssrc: 20, pt: 96, seq: 7, mid: "0"}}, map[string][]uint16{"video0": {7}, "video1": nil}, 0,
		},
		"by the payload type": {
			plain,
			[]sent{{ssrc: 1, pt: 111, seq: 7}, {ssrc: 2, pt: 96, seq: 8}, {ssrc: 3, pt: 98, seq: 9}},
			map[string][]uint16{"audio0": {7}},
			0, // VP9 then makes the video another stream
		},
		"a payload type of two sections": {
			declared, []sent{{ssrc: 1, pt: 96, seq: 7}}, map[string][]uint16{"video0": nil, "video1": nil}, 1,
		},
		"a payload type of none": {
			plain, []sent{{ssrc: 1, pt: 35, seq: 7}, {ssrc: 1, pt: 13, seq: 8}}, map[string][]uint16{"audio0": nil, "video0": nil}, 2,
		},
		"a payload type of none, by MID": {
			plain,
			[]sent{{ssrc: 1, pt: 13, seq: 7, mid: "0"}, {ssrc: 1, pt: 111, seq: 8}, {ssrc: 1, pt: 13, seq: 9}, {ssrc: 1, pt: 111, seq: 10}},
			map[string][]uint16{"audio0": {8, 10}},
			0,
		},
		"an unknown MID": {
			plain, []sent{{ssrc: 1, pt: 96, seq: 7, mid: "2"}, {ssrc: 1, pt: 96, seq: 8, mid: "1"}}, map[string][]uint16{"video0": {8}}, 1,
		},
		"an unknown RID": {
			layers, []sent{{ssrc: 1, pt: 96, seq: 7, mid: "1", rid: "m"}}, map[string][]uint16{"video0/h": nil, "video0/l": nil}, 1,
		},
		"no RID": {
			layers, []sent{{ssrc: 1, pt: 96, seq: 7, mid: "1"}, {ssrc: 1, pt: 96, seq: 8, rid: "l"}}, map[string][]uint16{"video0/h": nil, "video0/l": {8}}, 1,
		},
		"a RID without simulcast": {
			plain, []sent{{ssrc: 1, pt: 96, seq: 7, mid: "1", rid: "h"}}, map[string][]uint16{"video0": {7}}, 0,
		},
		"RTX by FID": {
			declared,
			[]sent{{ssrc: 20, pt: 96, seq: 7}, {ssrc: 20, pt: 96, seq: 9}, {ssrc: 21, pt: 97, seq: 1, osn: 8}},
			map[string][]uint16{"video0": nil, "video1": {7, 9, 8}},
			0,
		},
		"RTX by repaired RID": {
			layers,
			[]sent{
				{ssrc: 1, pt: 96, seq: 7, mid: "1", rid: "h"},
				{ssrc: 2, pt: 96, seq: 100, mid: "1", rid: "l"},
				{ssrc: 1, pt: 96, seq: 9},
				{ssrc: 3, pt: 97, seq: 1, mid: "1", fix: "l", osn: 99},
				{ssrc: 4, pt: 97, seq: 1, mid: "1", fix: "h", osn: 8},
				{ssrc: 4, pt: 97, seq: 2, osn: 6},
			},
			map[string][]uint16{"video0/h": {7, 9, 8, 6}, "video0/l": {100, 99}},
			0,
		},
		"RTX by MID": {
			plain, []sent{{ssrc: 1, pt: 96, seq: 7, mid: "1"}, {ssrc: 2, pt: 97, seq: 1, mid: "1", osn: 6}}, map[string][]uint16{"video0": {7, 6}}, 0,
		},
		"RTX over the wrap": {
			plain, []sent{{ssrc: 1, pt: 96, seq: 1, mid: "1"}, {ssrc: 2, pt: 97, seq: 1, mid: "1", osn: 65535}}, map[string][]uint16{"video0": {1, 65535}}, 0,
		},
		"RTX before what it repeats": {
			plain,
			[]sent{{ssrc: 2, pt: 97, seq: 1, mid: "1", osn: 6}, {ssrc: 1, pt: 96, seq: 7, mid: "1"}, {ssrc: 2, pt: 97, seq: 2, mid: "1", osn: 6}},
			map[string][]uint16{"video0": {7, 6}},
			1,
		},
		"RTX of a layer that does not flow": {
			layers,
			[]sent{{ssrc: 1, pt: 96, seq: 7, mid: "1", rid: "h"}, {ssrc: 2, pt: 97, seq: 1, mid: "1", fix: "l"}, {ssrc: 3, pt: 97, seq: 1, mid: "1"}},
			map[string][]uint16{"video0/h": {7}, "video0/l": nil},
			2,
		},
		"RTX with less than a number": {
			plain,
			[]sent{
				{ssrc: 1, pt: 96, seq: 7, mid: "1"},
				{ssrc: 2, pt: 97, seq: 1, mid: "1", silent: true},
				{ssrc: 2, pt: 97, seq: 2, payload: []byte{0}},
				{ssrc: 2, pt: 97, seq: 3, payload: []byte{0, 6}},
			},
			map[string][]uint16{"video0": {7, 6}},
			0,
		},
		"RTX of another codec": {
			plain,
			[]sent{{ssrc: 1, pt: 96, seq: 7, mid: "1"}, {ssrc: 2, pt: 99, seq: 1, mid: "1", osn: 6}, {ssrc: 1, pt: 96, seq: 8}},
			map[string][]uint16{"video0": {7, 8}},
			0,
		},
		"RTX of RTX": {
			offer(section("audio", "0"), section("video", "1", "a=ssrc-group:FID 20 21", "a=ssrc-group:FID 21 22", "a=ssrc-group:FID 23 23")),
			[]sent{
				{ssrc: 20, pt: 96, seq: 7}, {ssrc: 21, pt: 97, seq: 1, osn: 6}, {ssrc: 22, pt: 97, seq: 1, osn: 5}, {ssrc: 23, pt: 97, seq: 1, osn: 4},
			},
			map[string][]uint16{"video0": {7, 6, 5, 4}},
			0, // of the only stream that there is
		},
		"media where RTX was, and the other way round": {
			plain,
			[]sent{
				{ssrc: 1, pt: 96, seq: 7, mid: "1"},
				{ssrc: 2, pt: 97, seq: 1, mid: "1", osn: 6},
				{ssrc: 2, pt: 96, seq: 2},
				{ssrc: 1, pt: 97, seq: 8, osn: 5},
				{ssrc: 1, pt: 96, seq: 9},
			},
			map[string][]uint16{"video0": {7, 6, 9}},
			0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := n.publish(t, c.offer)
			views := map[string]*viewer{}
			for stream := range c.want {
				views[stream] = s.watch(stream)
			}
			if lost := len(c.send) - s.send(c.send...); lost != c.lost {
				t.Errorf("%d packets are of no track, want %d", lost, c.lost)
			}
			for stream, want := range c.want {
				if got := views[stream].seqs(); !slices.Equal(got, want) {
					t.Errorf("%s: %v, want %v", stream, got, want)
				}
				for _, p := range views[stream].packets {
					if len(p.Payload) > 0 && string(p.Payload) != "payload" {
						t.Errorf("%s: packet %d has % x", stream, p.Seq, p.Payload)
					}
				}
			}
		})
	}
}
