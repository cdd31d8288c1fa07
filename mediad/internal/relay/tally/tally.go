// Package tally adds up what the streams of a node count.
//
// The relay, which knows them all, enters each in its Book: those of this node when they are published, those of others when they are
// opened.
package tally

import (
	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/codec"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/metrics/census"
)

// Origin says where a stream is published.
type Origin string

// The origins.
const (
	Local  Origin = "local"  // on this node
	Remote Origin = "remote" // on another
)

// Codec sorts tracks.
type Codec struct {
	Kind string // audio or video
	Name string // as codec.Label gives it
}

// CodecOf is that of a stream's track.
func CodecOf(s *fanout.Stream) Codec {
	if s.Video() {
		return Codec{"video", codec.Label(s.Codec())}
	}
	return Codec{"audio", codec.Label(s.Codec())}
}

// Kind sorts streams.
type Kind struct {
	Origin Origin
	Codec  Codec
}

// Sum is what streams have counted, all together.
type Sum struct {
	Packets, Bytes  uint64 // taken in; payload bytes
	Wishes          uint64 // key frames asked of the publisher, or of its node
	Replays, Misses uint64 // viewers that began with the cached key frame, or could not
	Memory          int    // bytes of history
	Drops           drop.Counts
}

// Plus implements census.Sum.
func (s Sum) Plus(o Sum) Sum {
	return Sum{
		Packets: s.Packets + o.Packets, Bytes: s.Bytes + o.Bytes, Wishes: s.Wishes + o.Wishes,
		Replays: s.Replays + o.Replays, Misses: s.Misses + o.Misses, Memory: s.Memory + o.Memory, Drops: s.Drops.Plus(o.Drops),
	}
}

// Streams is what Read gives.
type Streams = map[Kind]census.Total[Sum]

// Book adds streams up. The zero Book is ready; all methods may be called by any goroutine.
type Book struct {
	book census.Book[Kind, Sum]
}

// Enter takes a stream in until leave, which should come when nothing is written to it any more.
func (b *Book) Enter(origin Origin, s *fanout.Stream) (leave func()) {
	return b.book.Enter(Kind{origin, CodecOf(s)}, func() Sum {
		st := s.Stats()
		return Sum{
			Packets: st.Packets, Bytes: st.Bytes, Wishes: st.Wishes, Replays: st.Replays, Misses: st.Misses, Memory: st.Memory, Drops: st.Drops,
		}
	})
}

// Read gives the sums.
func (b *Book) Read() Streams { return b.book.Read() }
