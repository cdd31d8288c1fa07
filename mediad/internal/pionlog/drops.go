package pionlog

import (
	"strings"
	"sync/atomic"
)

// This file knows the lines by which pion says that it dropped a packet: pion has no counters. They are its format strings; a test looks
// whether its present release still has them.

type reason uint8

const (
	stunMalformed   reason = iota // not STUN, though it begins like it
	stunUnauthentic               // of somebody who does not know the session's password
	stunUnexpected                // an answer to nothing that was asked, or a kind that ICE does not know
	sourceUnknown                 // from an address that is not one of the session's
	dtlsInvalid                   // broken, or not encrypted by the other side
	dtlsDuplicate                 // a record that has come before
	srtpInvalid                   // SRTP or a publisher's SRTCP that is broken, or not the other side's
	srtpDuplicate                 // a packet that has come before
	noProtocol                    // neither DTLS nor SRTP (RFC 9443)
	oversized                     // longer than pion reads
	queueFull                     // pion's own goroutines are behind

	reasons
)

// String returns the reason as it stands in metrics.
func (r reason) String() string {
	return [reasons]string{
		"stun_malformed", "stun_unauthentic", "stun_unexpected", "source_unknown", "dtls_invalid", "dtls_duplicate", "srtp_invalid", "srtp_duplicate",
		"no_protocol", "oversized", "queue_full",
	}[r]
}

type counters [reasons]atomic.Uint64

func (c *counters) read() map[string]uint64 {
	n := make(map[string]uint64, reasons)
	for r := range reasons {
		n[r.String()] = c[r].Load()
	}
	return n
}

// lines returns what tells the lines of one of pion's parts apart, or nil.
func lines(scope string) func(format string, args []any) (reason, bool) {
	switch scope {
	case "ice":
		return among(iceLines())
	case "dtls":
		return among(dtlsLines())
	case "srtp":
		return srtpLine
	case "mux":
		return muxLine()
	}
	return nil
}

func among(known map[string]reason) func(string, []any) (reason, bool) {
	return func(format string, _ []any) (reason, bool) {
		why, ok := known[format]
		return why, ok
	}
}

func iceLines() map[string]reason {
	return map[string]reason{
		"Failed to handle decode ICE from %s to %s: %v":                                               stunMalformed,
		"Discard request with wrong username from (%s), %v":                                           stunUnauthentic,
		"Discard request with broken integrity from (%s), %v":                                         stunUnauthentic,
		"Discard success response with broken integrity from (%s), %v":                                stunUnauthentic,
		"Discard success message from (%s), no such remote":                                           stunUnexpected,
		"Discard success response from (%s), unknown TransactionID 0x%x":                              stunUnexpected,
		"Discard message from (%s), unknown TransactionID 0x%x":                                       stunUnexpected,
		"Discard message: transaction source and destination does not match expected(%s), actual(%s)": stunUnexpected,
		"Unhandled STUN from %s to %s class(%s) method(%s)":                                           stunUnexpected,
		"Discarded message from %s, not a valid remote candidate":                                     sourceUnknown,
		"Failed to write packet: %s":                                                                  queueFull,
	}
}

func dtlsLines() map[string]reason {
	return map[string]reason{
		"discarded broken packet: %v":                                   dtlsInvalid,
		"discarded future packet (epoch: %d, seq: %d)":                  dtlsInvalid,
		"discarded packet missing connection ID after value negotiated": dtlsInvalid,
		"%s: decrypt failed: %s":                                        dtlsInvalid,
		"unpacking inner plaintext failed: %s":                          dtlsInvalid,
		"converting CID record to inner plaintext failed: %s":           dtlsInvalid,
		"unexpected connection ID":                                      dtlsInvalid,
		"defragment failed: %s":                                         dtlsInvalid,
		"%s: handshake parse failed: %s":                                dtlsInvalid,
		"discarded duplicated packet (epoch: %d, seq: %d)":              dtlsDuplicate,
	}
}

// duplicate is how the error of a repeated packet ends.
const duplicate = "duplicated packet"

// srtpLine takes the errors of packets, which are this part's lines of level info.
func srtpLine(said string, _ []any) (reason, bool) {
	if strings.HasSuffix(said, duplicate) {
		return srtpDuplicate, true
	}
	return srtpInvalid, true
}

// maybeWaiting is of a packet that pion keeps until DTLS or SRTP begins.
const maybeWaiting = "Warning: mux: no endpoint for packet starting with %d, adding to queue size(%d)"

func muxLines() map[string]reason {
	return map[string]reason{
		"mux: failed to read from packetio.Buffer %s":                                         oversized,
		"Warning: mux: no endpoint for packet starting with %d, not adding to queue size(%d)": noProtocol,
		"Warning: mux: unable to dispatch zero length packet":                                 noProtocol,
		"mux: endpoint buffer is full, dropping packet":                                       queueFull,
		"Warning: mux: error writing packet to endpoint from pending queue: %s":               queueFull,
	}
}

func muxLine() func(format string, args []any) (reason, bool) {
	known := among(muxLines())
	return func(format string, args []any) (reason, bool) {
		if format != maybeWaiting {
			return known(format, args)
		}
		first, ok := args[0].(byte)
		return noProtocol, ok && (first < 20 || first > 63 && first < 128 || first > 191) // it waits for nothing (RFC 9443 section 3)
	}
}
