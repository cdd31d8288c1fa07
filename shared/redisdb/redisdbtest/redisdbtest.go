// Package redisdbtest gives tests a Redis of their own, of each kind that Weever meets.
package redisdbtest

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"weever/shared/apierr"
	"weever/shared/redisdb"
	"weever/shared/testkit"
)

// Each runs a test against a Redis server, a cluster, and the stand-in of `mediad --dev`, all empty. The test runs beside others: a
// cluster needs two seconds to come up.
func Each(t *testing.T, test func(t *testing.T, db *redisdb.DB)) {
	t.Parallel()
	t.Run("redis", func(t *testing.T) { test(t, Open(t, testkit.Redis(t))) })
	t.Run("cluster", func(t *testing.T) { test(t, Open(t, testkit.RedisCluster(t))) })
	t.Run("miniredis", func(t *testing.T) { test(t, Open(t, "redis://"+miniredis.RunT(t).Addr())) })
}

// Open opens the URL, under the namespace "test", until the test ends.
func Open(t testing.TB, url string) *redisdb.DB {
	t.Helper()
	db, err := redisdb.Open(url, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// WantCode fails the test when err is not an apierr of that code. The code of "Redis is away" must come with a time to wait.
func WantCode(t testing.TB, err error, code apierr.Code) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	e := apierr.From(err)
	if e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	if code == apierr.Unavailable && e.RetryAfter != 2*time.Second {
		t.Fatalf("RetryAfter is %v", e.RetryAfter)
	}
}
