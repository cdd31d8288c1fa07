// Package census adds up what many short-lived things count, so that the sum never falls when one of them ends.
//
// The relay enters streams, a viewer its outgoing tracks; each entry is left when its thing ends. What is counted per packet stays in
// the things themselves: they are asked when somebody reads the sum.
package census

import "sync"

// Sum is a reading that can be added to another of its kind.
type Sum[T any] interface {
	Plus(other T) T
}

// Total is what a Book knows of one kind of thing.
type Total[T any] struct {
	Live int // entries that have not been left
	Now  T   // of those alone: for what is no count, such as memory
	Sum  T   // of all entries there ever were
}

// Book holds the entries of a node, sorted by K, which must have few values: each that ever occurred is kept. The zero Book is ready.
// All methods may be called by any goroutine.
type Book[K comparable, T Sum[T]] struct {
	mu      sync.Mutex // never held while an entry is read
	entries map[*entry[T]]K
	past    map[K]T
}

// entry is one thing.
type entry[T any] struct {
	mu   sync.Mutex // held while read runs
	read func() T
	left bool
	last T // the latest reading; the final one once left
}

// Enter takes a thing in. read gives what it has counted since it was made; it must not call the Book. leave reads it a last time and
// lets go of it; what it counts afterwards does not show any more. leave may be called again, and must not be called with a lock held
// that read needs.
func (b *Book[K, T]) Enter(k K, read func() T) (leave func()) {
	e := &entry[T]{read: read}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries == nil {
		b.entries, b.past = map[*entry[T]]K{}, map[K]T{}
	}
	b.entries[e] = k
	return func() { b.leave(e) }
}

func (b *Book[K, T]) leave(e *entry[T]) {
	last := e.look(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	if k, there := b.entries[e]; there {
		delete(b.entries, e)
		b.past[k] = b.past[k].Plus(last)
	}
}

// look reads the thing. Once it was left, the final reading stands: one that came later could make a sum that falls the next time.
func (e *entry[T]) look(leaving bool) T {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.left {
		e.last, e.left = e.read(), leaving
	}
	if e.left {
		e.read = nil
	}
	return e.last
}

// Read gives the totals. It waits for each entry's read, one after the other; nobody waits for it meanwhile but who leaves.
func (b *Book[K, T]) Read() map[K]Total[T] {
	b.mu.Lock()
	out := make(map[K]Total[T], len(b.past))
	for k, sum := range b.past {
		out[k] = Total[T]{Sum: sum}
	}
	type open struct {
		e *entry[T]
		k K
	}
	list := make([]open, 0, len(b.entries))
	for e, k := range b.entries {
		list = append(list, open{e, k})
	}
	b.mu.Unlock()
	for _, o := range list {
		t := out[o.k]
		reading := o.e.look(false)
		t.Live++
		t.Now, t.Sum = t.Now.Plus(reading), t.Sum.Plus(reading)
		out[o.k] = t
	}
	return out
}
