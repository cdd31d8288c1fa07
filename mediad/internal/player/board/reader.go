package board

// Reader fetches the events of one stream, for one request. Attach makes it, Detach ends it. Its channels may be waited on by one
// goroutine.
type Reader struct {
	board  *Board
	stream *stream
	change chan struct{} // capacity 1
	done   chan struct{}

	// Guarded by the board's mu.
	told    [slotCount]uint64
	dropped bool // another reads, or the stream was deleted
}

// Attach reads a stream from now on, in place of whoever did. All present states are new to it: a connection that broke has perhaps not
// carried them to the player. It is false when there is no such stream.
func (b *Board) Attach(id string) (*Reader, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.streams[id]
	if st == nil {
		return nil, false
	}
	r := &Reader{board: b, stream: st, change: make(chan struct{}, 1), done: make(chan struct{}), told: st.base}
	st.replace(r)
	return r, true
}

// replace gives the stream another reader, or none.
func (st *stream) replace(r *Reader) {
	if old := st.reader; old != nil {
		old.dropped = true
		close(old.done)
	}
	st.reader = r
}

func (r *Reader) wake() { tell(r.change) }

// Changed gets a value when there may be something to Take.
func (r *Reader) Changed() <-chan struct{} { return r.change }

// Done is closed when nothing will come any more: the session ended, the stream was deleted, or another reads it.
func (r *Reader) Done() <-chan struct{} { return r.done }

// Take appends what the player has not been told yet, as server-sent events with their data on one line each, and counts it as told. It
// does not wait. Nothing is for a reader whose stream was deleted or is read by another.
func (r *Reader) Take(dst []byte) []byte {
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	if r.dropped {
		return dst
	}
	for i, s := range r.board.slots {
		if s.version <= r.told[i] {
			continue
		}
		r.told[i] = s.version
		if !r.stream.want.has(s.name) {
			continue
		}
		dst = append(dst, "event: "...)
		dst = append(dst, s.name...)
		dst = append(dst, "\ndata: "...)
		dst = append(dst, s.data...)
		dst = append(dst, "\n\n"...)
	}
	return dst
}

// Detach ends the reading, if it has not ended yet. The stream waits for the next reader.
func (r *Reader) Detach() {
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	if r.stream.reader == r {
		r.stream.reader = nil
	}
}
