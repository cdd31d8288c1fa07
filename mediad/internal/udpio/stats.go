package udpio

// This file is what the port tells about itself.

// Drop names why a packet was not given to ICE.
type Drop uint8

// The reasons.
const (
	Replayed         Drop = iota // a connectivity check that was answered before, again from another address
	TooManySources               // a connectivity check from one address too many for the session
	UnknownCheck                 // STUN that is for no session here
	UnknownSource                // anything else from an address that is no session's
	Unprotected                  // DTLS in the clear after the handshake: not the peer's
	QueueFull                    // the session does not read
	Oversized                    // longer than anything that is sent over a network
	KernelBufferFull             // the node does not read: the kernel dropped it

	FeedbackInvalid // SRTCP that is not the viewer's: forged, replayed, or too long
	FeedbackSenders // SRTCP of one SSRC too many
	FeedbackFull    // SRTCP that came faster than it could be read

	MediaInvalid // SRTP that is not the publisher's: forged, replayed, or too long
	MediaSenders // SRTP of one SSRC too many
	MediaUnknown // SRTP that belongs to no track, or to one that was removed

	numDrops
)

// String returns the reason as it stands in metrics.
func (d Drop) String() string {
	return [numDrops]string{
		"stun_replayed", "stun_too_many_sources", "stun_unknown", "source_unknown", "dtls_unprotected", "queue_full", "oversized", "kernel_buffer_full",
		"srtcp_invalid", "srtcp_senders", "srtcp_queue_full",
		"srtp_invalid", "srtp_senders", "srtp_unknown",
	}[d]
}

// Stats is what went through the port since it was opened, of whatever kind: media, RTCP, DTLS, STUN and what strangers send. Bytes are
// those of UDP's payload. A message is what the kernel takes or gives in one piece, a packet or several of one address.
type Stats struct {
	PacketsIn, BytesIn   uint64
	MessagesIn, Reads    uint64 // in how many messages, by how many system calls, PacketsIn were read
	ReadErrors           uint64 // failures of reading
	PacketsOut, BytesOut uint64
	Messages, Sends      uint64            // in how many messages, by how many system calls, PacketsOut were handed to the kernel
	SendErrors           uint64            // packets that the kernel refused
	Drops                map[string]uint64 // packets not given to ICE, by reason; all reasons are there
}

// Stats reads the counters. It costs a few loads and a system call, and takes no lock.
func (m *Mux) Stats() Stats {
	st := Stats{Drops: make(map[string]uint64, numDrops)}
	for _, in := range m.inlets {
		r, w := in.socket.In(), in.socket.Out()
		st.PacketsIn += r.Packets
		st.BytesIn += r.Bytes
		st.MessagesIn += r.Messages
		st.Reads += r.Calls
		st.ReadErrors += r.Errors
		st.PacketsOut += w.Packets
		st.BytesOut += w.Bytes
		st.Messages += w.Messages
		st.Sends += w.Calls
		st.SendErrors += w.Errors
	}
	for d := range numDrops {
		st.Drops[d.String()] = m.Drops(d)
	}
	return st
}

// Drops is how many packets were dropped for a reason since the port was opened.
func (m *Mux) Drops(d Drop) (n uint64) {
	if d != KernelBufferFull {
		return m.drops[d].Load()
	}
	for _, in := range m.inlets {
		n += in.socket.Overflows()
	}
	return n
}
