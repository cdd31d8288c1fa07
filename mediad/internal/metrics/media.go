package metrics

import (
	"weever/mediad/internal/fanout/congestion"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/metrics/census"
	"weever/mediad/internal/relay/tally"
	"weever/mediad/internal/session/viewer/outlet"
)

// This file declares what is told of media: packets, streams, tracks and what was dropped.

func mediaFamilies() []family {
	byStream, byKind := []string{"origin", "kind", "codec"}, []string{"kind"}
	return []family{
		counter("udp_packets_total", "Packets through the media port, of whatever kind.", []string{"direction"},
			ways(func(r *reading) uint64 { return r.udp.PacketsIn }, func(r *reading) uint64 { return r.udp.PacketsOut })),
		counter("udp_bytes_total", "Bytes of the packets through the media port, without the headers of IP and UDP.", []string{"direction"},
			ways(func(r *reading) uint64 { return r.udp.BytesIn }, func(r *reading) uint64 { return r.udp.BytesOut })),
		counter("udp_messages_total", "Messages in which the kernel took and gave these packets: one, or several of one address (GSO, GRO).", []string{"direction"},
			ways(func(r *reading) uint64 { return r.udp.MessagesIn }, func(r *reading) uint64 { return r.udp.Messages })),
		counter("udp_calls_total", "System calls that received and sent these packets.", []string{"direction"},
			ways(func(r *reading) uint64 { return r.udp.Reads }, func(r *reading) uint64 { return r.udp.Sends })),
		counter("udp_receive_errors_total", "Times that reading the media port failed; the node goes on.", nil,
			the(func(r *reading) uint64 { return r.udp.ReadErrors })),
		counter("udp_send_errors_total", "Packets that the kernel refused to send.", nil,
			the(func(r *reading) uint64 { return r.udp.SendErrors })),

		gauge("tracks_published", "Tracks of this node's publishers.", []string{"kind", "codec"}, func(r *reading, out emit) {
			for c, n := range r.relay.Tracks {
				out(number(n), c.Kind, c.Name)
			}
		}),
		gauge("streams", "Streams: the layers of tracks. Of origin remote are those that another node publishes.", byStream,
			streams(func(t census.Total[tally.Sum]) float64 { return float64(t.Live) })),
		gauge("history_bytes", "Memory of the streams' histories.", byStream,
			streams(func(t census.Total[tally.Sum]) float64 { return float64(t.Now.Memory) })),
		counter("rtp_received_packets_total", "RTP packets taken into streams: from publishers, or over the bus.", byStream,
			streams(func(t census.Total[tally.Sum]) float64 { return float64(t.Sum.Packets) })),
		counter("rtp_received_bytes_total", "Bytes of payload taken into streams.", byStream,
			streams(func(t census.Total[tally.Sum]) float64 { return float64(t.Sum.Bytes) })),
		counter(
			"keyframe_cache_total", "Times that a viewer began with a stream of pictures, at a join or a switch: with the cached key frame (hit), or "+
				"without, for there was none (miss).", []string{"result"}, readCache,
		),

		gauge("viewer_tracks", "Outgoing tracks of this node's viewers.", byKind,
			tracks(func(t census.Total[outlet.Sum]) float64 { return float64(t.Live) })),
		gauge("viewer_tracks_waiting", "Outgoing tracks of viewers that have a stream, but no packet to begin with yet.", byKind,
			tracks(func(t census.Total[outlet.Sum]) float64 { return float64(t.Now.Waiting) })),
		counter("rtp_sent_packets_total", "RTP packets sent to viewers, without retransmissions.", byKind,
			tracks(func(t census.Total[outlet.Sum]) float64 { return float64(t.Sum.Packets) })),
		counter("rtp_sent_bytes_total", "Bytes of payload sent to viewers, without retransmissions.", byKind,
			tracks(func(t census.Total[outlet.Sum]) float64 { return float64(t.Sum.Bytes) })),
		counter("nacked_packets_total", "Packets that viewers asked for again.", byKind,
			tracks(func(t census.Total[outlet.Sum]) float64 { return float64(t.Sum.Nacks) })),
		counter("retransmitted_packets_total", "Packets sent again, on the retransmission stream (rtx) or as they were (plain).",
			[]string{"kind", "way"}, readResent),
		counter("retransmitted_bytes_total", "Bytes of payload sent again.", byKind,
			tracks(func(t census.Total[outlet.Sum]) float64 { return float64(t.Sum.ResentBytes) })),

		gauge("viewer_links", "Viewers who have a choice of layers, by what is known of their networks.", []string{"state"}, readLinks),
		counter("viewer_link_reports_total", "Reports of viewers on what arrived when (transport-wide feedback), by what they were good for.",
			[]string{"result"}, readReports),
		counter("viewer_link_cuts_total", "Times that a viewer's network was found to carry less than what was sent.", nil,
			the(func(r *reading) uint64 { return r.sessions.Links.Sum.Cuts })),

		counter("keyframe_requests_received_total", "Key frames asked for, by viewers (PLI, FIR) or other nodes.", []string{"from"}, readAsked),
		counter("keyframe_requests_sent_total", "Key frames that this node asked for: of publishers (PLI), or of their nodes. Wishes are gathered.",
			[]string{"to"}, readWished),

		counter(
			"drops_total", "What went no further, by place and reason: packets, and messages at the places talk, events and calls. At the "+
				"place viewer the reasons nack_… are retransmissions not made; waiting_keyframe is no fault. Nor is duplicate at remote_stream: a stream that begins is "+
				"read out of its node's history and off the bus, and the two overlap. At the place pion is what the library for ICE, DTLS and SRTP dropped; "+
				"unread are packets of streams that were not declared, counted when they end.",
			[]string{"place", "reason"}, readDrops,
		),
	}
}

// streams reads one number of each kind of stream.
func streams(value func(census.Total[tally.Sum]) float64) func(*reading, emit) {
	return func(r *reading, out emit) {
		for k, t := range r.relay.Streams {
			out(value(t), string(k.Origin), k.Codec.Kind, k.Codec.Name)
		}
	}
}

// tracks reads one number of each kind of outgoing track.
func tracks(value func(census.Total[outlet.Sum]) float64) func(*reading, emit) {
	return func(r *reading, out emit) {
		for _, kind := range []string{"audio", "video"} {
			out(value(r.sessions.Tracks[kind]), kind)
		}
	}
}

func readCache(r *reading, out emit) {
	var hits, misses uint64
	for _, t := range r.relay.Streams {
		hits, misses = hits+t.Sum.Replays, misses+t.Sum.Misses
	}
	out(number(hits), "hit")
	out(number(misses), "miss")
}

func readResent(r *reading, out emit) {
	for _, kind := range []string{"audio", "video"} {
		s := r.sessions.Tracks[kind].Sum
		out(number(s.ResentRTX), kind, "rtx")
		out(number(s.Resent-s.ResentRTX), kind, "plain")
	}
}

func readLinks(r *reading, out emit) {
	for state, n := range r.sessions.Links.Now.States {
		out(number(n), congestion.State(state).String())
	}
}

func readReports(r *reading, out emit) {
	sum := r.sessions.Links.Sum
	out(number(sum.Reports), "read")
	out(number(sum.Malformed), "malformed")
	out(number(sum.Repeated), "repeated")
}

func readAsked(r *reading, out emit) {
	var viewers uint64
	for _, t := range r.sessions.Tracks {
		viewers += t.Sum.KeyframeAsked
	}
	out(number(viewers), "viewer")
	out(number(r.relay.Asked), "node")
}

func readWished(r *reading, out emit) {
	sums := map[tally.Origin]uint64{}
	for k, t := range r.relay.Streams {
		sums[k.Origin] += t.Sum.Wishes
	}
	out(number(sums[tally.Local]), "publisher")
	out(number(sums[tally.Remote]), "node")
}

func readDrops(r *reading, out emit) {
	origins := map[tally.Origin]drop.Counts{tally.Local: {}, tally.Remote: {}}
	for k, t := range r.relay.Streams {
		origins[k.Origin] = origins[k.Origin].Plus(t.Sum.Drops)
	}
	var viewers drop.Counts
	for _, t := range r.sessions.Tracks {
		viewers = viewers.Plus(t.Sum.Drops)
	}
	for origin, place := range map[tally.Origin]string{tally.Local: "publisher", tally.Remote: "remote_stream"} {
		counts := origins[origin]
		for reason, n := range counts.AtStream() {
			out(number(n), place, reason)
		}
	}
	for reason, n := range viewers.AtViewer() {
		out(number(n), "viewer", reason)
	}
	for reason, n := range r.relay.Drops {
		out(number(n), "relay", reason)
	}
	for reason, n := range r.udp.Drops {
		out(number(n), "udp", reason)
	}
	for reason, n := range r.sessions.Pion {
		out(number(n), "pion", reason)
	}
	for reason, n := range r.talk.Named() {
		out(number(n), "talk", reason)
	}
	out(number(r.events.Unreadable), "events", "unreadable")
	out(number(r.events.Slow), "events", "slow_consumer")
	out(number(r.calls.Lost), "calls", "slow_consumer")
}
