// Package eventstream writes server-sent events (WHATWG HTML, section "Server-sent events"), for as long as somebody reads them.
//
// httpapi calls Send for the players that ask; it ends with the request or with the board.
package eventstream

import (
	"context"
	"net/http"
	"time"

	"weever/mediad/internal/player/board"
)

// ContentType is that of event streams.
const ContentType = "text/event-stream"

const (
	beat     = 15 * time.Second // between signs of life: proxies cut what is silent for long
	patience = 10 * time.Second // with a reader that does not take what is written
)

// greeting opens a stream, so that proxies pass it on at once: how soon to come back, in milliseconds, when it breaks.
const greeting = "retry: 2000\n\n"

// Send writes what reader has until it is done, ctx ends or the client does not read. Whoever reads slowly skips what is out of date
// meanwhile.
func Send(ctx context.Context, w http.ResponseWriter, reader *board.Reader) {
	send(ctx, w, reader, beat, patience)
}

func send(ctx context.Context, w http.ResponseWriter, reader *board.Reader, beat, patience time.Duration) {
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Time{}) // the request has been read
	ending := func() { _ = conn.SetWriteDeadline(time.Now().Add(patience)) }
	defer ending()                 // for what ends the reply
	write := func(b []byte) bool { // in place of the server's limit for replies; where there are no deadlines, none has to be lifted
		ending()
		defer func() { _ = conn.SetWriteDeadline(time.Time{}) }()
		if _, err := w.Write(b); err != nil {
			return false
		}
		return conn.Flush() == nil
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	buf := reader.Take([]byte(greeting))
	for {
		if len(buf) > 0 && !write(buf) {
			return
		}
		buf = buf[:0]
		select {
		case <-reader.Changed():
			buf = reader.Take(buf)
		case <-tick.C:
			buf = append(buf, ":\n\n"...) // a comment
		case <-ctx.Done():
			return
		case <-reader.Done():
			if buf = reader.Take(buf); len(buf) > 0 { // the last words
				write(buf)
			}
			return
		}
	}
}
