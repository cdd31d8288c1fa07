package store

import (
	"testing"

	"go.uber.org/goleak"

	"weever/shared/redisdb"
	"weever/shared/redisdb/redisdbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eachRedis runs a test against what Weever meets.
func eachRedis(t *testing.T, test func(t *testing.T, s *Store)) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) { test(t, New(db, nil)) })
}

func openAt(t *testing.T, url string) *Store {
	t.Helper()
	return New(redisdbtest.Open(t, url), nil)
}
