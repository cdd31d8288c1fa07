package metrics

// This file declares what is told of the bus and of Redis.

func relayFamilies() []family {
	return []family{
		counter("relay_messages_total", "Media messages of NATS, from other nodes (in) and to them.", []string{"direction"},
			ways(func(r *reading) uint64 { return r.relay.MessagesIn }, func(r *reading) uint64 { return r.relay.MessagesOut })),
		counter("relay_packets_total", "RTP packets in media messages of NATS.", []string{"direction"},
			ways(func(r *reading) uint64 { return r.relay.PacketsIn }, func(r *reading) uint64 { return r.relay.PacketsOut })),
		counter("relay_bytes_total", "Bytes of media messages of NATS.", []string{"direction"},
			ways(func(r *reading) uint64 { return r.relay.BytesIn }, func(r *reading) uint64 { return r.relay.BytesOut })),
		gauge(
			"relay_leases", "Leases of interest in streams: granted to other nodes, wanted from them, and held, which is wanted and granted.",
			[]string{"side"}, func(r *reading, out emit) {
				out(number(r.relay.Leases), "granted")
				out(number(r.relay.Subscribed), "wanted")
				out(number(r.relay.Held), "held")
			},
		),

		counter("nats_messages_total", "Messages of all kinds on a connection to NATS.", []string{"connection", "direction"},
			func(r *reading, out emit) {
				for name, st := range r.nats {
					out(number(st.InMsgs), name, "in")
					out(number(st.OutMsgs), name, "out")
				}
			}),
		counter("nats_bytes_total", "Bytes of messages of all kinds on a connection to NATS.", []string{"connection", "direction"}, func(r *reading, out emit) {
			for name, st := range r.nats {
				out(number(st.InBytes), name, "in")
				out(number(st.OutBytes), name, "out")
			}
		}),
		counter("nats_reconnects_total", "Times that a connection to NATS was lost and came back.", []string{"connection"},
			func(r *reading, out emit) {
				for name, st := range r.nats {
					out(number(st.Reconnects), name)
				}
			}),
		counter("node_calls_total", "Calls from node to node, made (out) and served (in), by how they ended.", []string{"direction", "outcome"},
			func(r *reading, out emit) {
				for outcome, n := range r.calls.Made {
					out(number(n), "out", outcome)
				}
				for outcome, n := range r.calls.Served {
					out(number(n), "in", outcome)
				}
			}),

		counter("room_events_total", "Events of rooms, heard and sent; a node hears its own, too.", []string{"direction"},
			ways(func(r *reading) uint64 { return r.events.Heard }, func(r *reading) uint64 { return r.events.Sent })),
		gauge("rooms", "Rooms that somebody on this node is in.", nil, the(func(r *reading) int { return r.rooms.Rooms })),
		counter("room_event_gaps_total", "Times that an event showed that one before it was missing, or late.", nil,
			the(func(r *reading) uint64 { return r.rooms.Gaps })),
		counter("room_heals_total", "Comparisons of a room with Redis that were made (ok), and that could not be made (failed).", []string{"result"},
			func(r *reading, out emit) {
				out(number(r.rooms.Heals), "ok")
				out(number(r.rooms.Failed), "failed")
			}),

		counter("redis_commands_total", "Commands to Redis.", nil, the(func(r *reading) uint64 { return r.redis.Commands })),
		counter("redis_failures_total", "Commands that Redis did not answer.", nil, the(func(r *reading) uint64 { return r.redis.Failed })),
		counter("redis_command_seconds_total", "Time that commands took, all together.", nil,
			the(func(r *reading) float64 { return r.redis.Took.Seconds() })),
		gauge("redis_connections", "Connections to Redis.", []string{"state"}, func(r *reading, out emit) {
			out(number(r.redis.Connections-min(r.redis.Idle, r.redis.Connections)), "busy")
			out(number(r.redis.Idle), "idle")
		}),
	}
}
