package batch

import (
	"encoding/binary"

	"weever/mediad/internal/fanout"
)

// A piece of a stream's past, as one node tells it to another: the cursor to go on from (8 bytes, big-endian; 0: there is no more) and
// a media message.
const (
	cursorLength = 8
	pastRead     = 16 // packets read from the history at a time
)

// Past packs what a stream's history holds from the cursor on, as far as it fits into limit bytes.
func Past(stream *fanout.Stream, from fanout.Cursor, limit int) []byte {
	piece := AppendHeader(make([]byte, cursorLength, 64<<10), 0)
	burst, buf := make([]fanout.Packet, 0, pastRead), make([]byte, 0, pastRead*fanout.MaxPacket)
	cursor, records := from, 0
	for records+pastRead <= MaxRecords && len(piece)+pastRead*MaxRecord <= limit {
		burst, buf, cursor = stream.ReadCached(cursor, burst, buf)
		for i := range burst {
			piece = AppendPacket(piece, &burst[i])
		}
		if records += len(burst); len(burst) < cap(burst) {
			break
		}
	}
	if records == 0 {
		cursor = 0
	}
	binary.BigEndian.PutUint64(piece, uint64(cursor))
	return piece
}

// SplitPast reads what Past packed: where to go on, and the message for a Receiver; false if there is no more, or it is none.
func SplitPast(piece []byte) (next fanout.Cursor, msg []byte, more bool) {
	if len(piece) < cursorLength {
		return 0, nil, false
	}
	next = fanout.Cursor(binary.BigEndian.Uint64(piece))
	return next, piece[cursorLength:], next != 0
}
