package peer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	// gatherTimeout bounds the wait for candidates, which are there at once: all are host candidates of open sockets.
	gatherTimeout = 2 * time.Second
	// gatherLook is how often to look whether they are: pion's promise is now and then not kept.
	gatherLook = 10 * time.Millisecond
)

// Answer creates and applies the answer to the offer that pc was given, waits until all candidates are gathered and returns the
// text for the client.
func Answer(ctx context.Context, pc *webrtc.PeerConnection) (string, error) {
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("peer: creating the answer: %w", err)
	}
	// Not earlier: at an ICE restart the offer has begun to gather anew, and a promise from before it would be kept already.
	gathered := webrtc.GatheringCompletePromise(pc)
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("peer: applying the answer: %w", err)
	}
	// pion takes the promise's handler before it sets the state, and calls it after that. A promise made in between sees neither.
	look := time.NewTicker(gatherLook)
	defer look.Stop()
	for pc.ICEGatheringState() != webrtc.ICEGatheringStateComplete {
		select {
		case <-gathered:
		case <-look.C:
		case <-ctx.Done():
			return "", fmt.Errorf("peer: gathering candidates: %w", ctx.Err())
		}
	}
	return finish(pc.LocalDescription().SDP)
}

// finish adds what pion leaves out: rtcp-mux-only (RFC 8858, demanded by RFC 9725 section 4.4.1), and candidates in a useful
// order. FFmpeg uses only the first UDP host candidate, so the public one must come first.
func finish(text string) (string, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(text); err != nil {
		return "", fmt.Errorf("peer: reading our own description: %w", err)
	}
	for _, m := range desc.MediaDescriptions {
		var cands, rest []sdp.Attribute
		at := -1
		for _, a := range m.Attributes {
			if a.IsICECandidate() {
				if at < 0 {
					at = len(rest)
				}
				if f := strings.Fields(a.Value); len(f) > 1 && f[1] == "1" { // pion repeats each for RTCP, which is multiplexed
					cands = append(cands, a)
				}
				continue
			}
			rest = append(rest, a)
			if a.Key == sdp.AttrKeyRTCPMux {
				rest = append(rest, sdp.NewPropertyAttribute("rtcp-mux-only"))
			}
		}
		if at >= 0 {
			slices.SortStableFunc(cands, func(a, b sdp.Attribute) int { return candidateRank(a.Value) - candidateRank(b.Value) })
			rest = slices.Insert(rest, at, cands...)
		}
		m.Attributes = rest
	}
	b, err := desc.Marshal()
	return string(b), err
}

// WithoutCandidates takes the candidates out of a client's description that does not start an ICE session: those it needs were in
// its first offer or come by PATCH, where they are counted. A text that cannot be read is returned as it is, for pion to refuse.
func WithoutCandidates(text string) string {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(text); err != nil {
		return text
	}
	none := MaxCandidates
	desc.Attributes = capCandidates(desc.Attributes, &none)
	for _, m := range desc.MediaDescriptions {
		m.Attributes = capCandidates(m.Attributes, &none)
	}
	b, err := desc.Marshal()
	if err != nil {
		return text
	}
	return string(b)
}

// candidateRank orders candidates: UDP before TCP, public before private, IPv4 before IPv6.
func candidateRank(value string) int {
	f := strings.Fields(value)
	if len(f) < 8 {
		return 9
	}
	rank := 0
	if !strings.EqualFold(f[2], "udp") {
		rank += 4
	}
	ip, err := netip.ParseAddr(f[4])
	if err != nil {
		return 9
	}
	if ip.IsPrivate() || ip.IsLoopback() {
		rank += 2
	}
	if ip.Is6() {
		rank++
	}
	return rank
}
