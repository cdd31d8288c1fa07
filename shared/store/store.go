// Package store keeps in Redis who publishes and who watches in each room, so that all nodes agree on it.
//
// The keys of one room share a hash tag, so in Redis Cluster a room lives in one slot and its scripts may touch all its keys.
package store

import (
	"cmp"
	"log/slog"

	"weever/shared/redisdb"
	"weever/shared/room"
)

// Store is what Redis knows of rooms. It is made by New, used by many goroutines, and needs no end of its own.
type Store struct {
	db  *redisdb.DB
	log *slog.Logger
}

// New makes a Store. log takes what no caller can be told, such as records that cannot be read; nil means silence.
func New(db *redisdb.DB, log *slog.Logger) *Store {
	return &Store{db: db, log: cmp.Or(log, slog.New(slog.DiscardHandler))}
}

// key is the name of a thing of a room.
func (s *Store) key(rm room.Name, parts ...string) string {
	return s.db.GroupKey(rm.String(), parts...)
}
