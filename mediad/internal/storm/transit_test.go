package storm

import (
	"encoding/binary"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weever/mediad/internal/client/histogram"
	"weever/shared/testkit/netns"
)

// This file measures the node alone: the time from the kernel's sight of a packet on its way to the node to the sight of its copy for a viewer.
// When the programs run that send and receive it does not matter, nor what they compute, for the node has a core of its own.

// coreOfItsOwn keeps this process, and all that it starts from now on, off the first core, and returns what starts a program on that. It does
// nothing where there is one core.
func coreOfItsOwn(t testing.TB) []string {
	t.Helper()
	cores := runtime.NumCPU()
	if cores < 2 {
		return nil
	}
	var before, rest unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	first := -1
	for i := range 64 * len(before) {
		if before.IsSet(i) {
			if first < 0 {
				first = i
			} else {
				rest.Set(i)
			}
		}
	}
	confine := func(to *unix.CPUSet) {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			if id, err := strconv.Atoi(thread.Name()); err == nil {
				_ = unix.SchedSetaffinity(id, to) // it may have ended
			}
		}
	}
	confine(&rest)
	t.Cleanup(func() { confine(&before) })
	return []string{"env", "GOMAXPROCS=1", "taskset", "-c", strconv.Itoa(first)}
}

// rtpOf reads the header of an SRTP packet.
func rtpOf(b []byte) (id rtpID, marker, ok bool) {
	if len(b) < 12 || b[0]>>6 != 2 || b[1]&0x7f >= 64 && b[1]&0x7f < 96 {
		return id, false, false
	}
	return rtpID{binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:])}, b[1]&0x80 != 0, true
}

// transit is how long the node took for each copy of each packet of the camera.
func (h *hall) transit(seen []netns.Sighting) (all histogram.Histogram) {
	h.Helper()
	counts := map[uint32]int{}
	var camera uint32 // sends more than the microphone
	for _, s := range seen {
		if id, _, ok := rtpOf(s.Payload); ok && s.Sent {
			if counts[id.ssrc]++; counts[id.ssrc] > counts[camera] {
				camera = id.ssrc
			}
		}
	}
	h.align(seen, camera)
	in := map[uint16]time.Time{}
	for _, s := range seen {
		id, _, ok := rtpOf(s.Payload)
		switch add, viewer := h.paths[id.ssrc]; {
		case !ok:
		case s.Sent && id.ssrc == camera:
			in[id.seq] = s.At
		case !s.Sent && viewer:
			if at, known := in[id.seq-add]; known {
				all.Record(s.At.Sub(at))
			}
		}
	}
	return all
}

// align finds out, once, what the node adds to the camera's numbers for each viewer: the end of a frame that leaves the node is that of the frame
// that has come last.
func (h *hall) align(seen []netns.Sighting, camera uint32) {
	if h.paths != nil {
		return
	}
	h.paths = map[uint32]uint16{}
	video := map[uint32]bool{}
	for _, e := range h.ears {
		for _, heard := range e.list() {
			video[heard.SSRC] = video[heard.SSRC] || heard.Track == "video0"
		}
	}
	last, begun := uint16(0), false
	for _, s := range seen {
		id, marker, ok := rtpOf(s.Payload)
		_, known := h.paths[id.ssrc]
		switch {
		case !ok || !marker:
		case s.Sent && id.ssrc == camera:
			last, begun = id.seq, true
		case !s.Sent && video[id.ssrc] && begun && !known:
			h.paths[id.ssrc] = id.seq - last
		}
	}
}
