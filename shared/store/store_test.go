package store

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"weever/shared/apierr"
	"weever/shared/room"
	"weever/shared/testkit"
)

// eachRedis runs a test against what Weever meets: a Redis server, a cluster, and the stand-in of `mediad --dev`. The test runs
// beside others: a cluster needs two seconds to come up.
func eachRedis(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Parallel()
	t.Run("redis", func(t *testing.T) { test(t, openAt(t, testkit.Redis(t))) })
	t.Run("cluster", func(t *testing.T) { test(t, openAt(t, testkit.RedisCluster(t))) })
	t.Run("miniredis", func(t *testing.T) { test(t, openAt(t, "redis://"+miniredis.RunT(t).Addr())) })
}

func openAt(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(url, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustRoom(t *testing.T, s string) room.Name {
	t.Helper()
	n, err := room.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustID(t *testing.T, s string) room.ID {
	t.Helper()
	id, err := room.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// wantCode fails the test when err is not an apierr of that code. The code of "Redis is away" must come with a time to wait.
func wantCode(t *testing.T, err error, code apierr.Code) {
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

func TestOpenTakesTheFormsOfAURL(t *testing.T) {
	for _, url := range []string{
		"redis://127.0.0.1:6379",
		"redis://127.0.0.1",
		"redis://:secret@127.0.0.1:6379/3",
		"rediss://user:p%40ss@redis.example:6380/0?pool_size=5",
		"redis://user:secret@a:6379?addr=b:6379&addr=c:6379",
		"rediss://user:secret@a:6379?addr=a:6379",
		"redis://user:secret@a:26379/0?master_name=main&addr=b:26379",
	} {
		s, err := Open(url, "weever")
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", url, err)
		}
	}
}

func TestOpenRefusesWithoutThePassword(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"", "must begin with redis://"},
		{"127.0.0.1:6379", "cannot be parsed"},
		{"http://user:hunter2@host", "must begin with redis://"},
		{"unix:///tmp/hunter2", "must begin with redis://"},
		{"redis://user:hun ter2@host:6379", "cannot be parsed"},
		{"redis://:hunter2#x@host:6379", "cannot be parsed"},
		{"redis://:hun/ter2@host:6379", "cannot be parsed"},
		{"redis://:12/hunter2@host:6379", "percent-encoded"},
		{"redis://:12?hunter2@host:6379", "percent-encoded"},
		{"redis://u:12@host/hunter2@host:6379", "percent-encoded"},
		{"redis://u:12?hunter2@host:6379&addr=a:1", "percent-encoded"},
		{"redis://u:hunter2@host:6379/zero", `invalid database number: "zero"`},
		{"redis://u:hunter2@host:6379?nonsense=1", "unexpected option: nonsense"},
		{"redis://u:hunter2@host:6379?addr=nonsense", "unable to parse addr param: nonsense"},
		{"redis://u:x@host:6379?master_name=m&password=hunter2&x=1", "percent-encoded"},
		{"redis://u:hunter2@host:6379?addr=a:1&read_only=true", "read_only cannot be used"},
		{"redis://u:hunter2@host:6379?master_name=m&replica_only=true", "replica_only cannot be used"},
	} {
		s, err := Open(tt.url, "weever")
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: accepted", tt.url)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q in it", tt.url, err, tt.want)
		}
		if strings.Contains(err.Error(), "hun") || strings.Contains(err.Error(), "ter2") {
			t.Errorf("%s: the error holds the password: %v", tt.url, err)
		}
	}
}

func TestOpenChecksTheNamespace(t *testing.T) {
	for _, ns := range []string{"", "a:b", "a{b}", "a*", strings.Repeat("a", 65)} {
		if _, err := Open("redis://127.0.0.1", ns); err == nil || !strings.HasPrefix(err.Error(), "namespace: ") {
			t.Errorf("%q: %v", ns, err)
		}
	}
}

func FuzzOpenKeepsPasswords(f *testing.F) {
	for _, s := range []string{"", "/", "?", "#", "%", "@", " ", ":", "1/", "&addr=", "%2", "[", "?db=", "?addr="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, odd string) {
		s, err := Open("redis://user:"+odd+"SECRET@127.0.0.1:1", "weever")
		if err == nil {
			_ = s.Close()
			return
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %v", odd, err)
		}
	})
}

func TestKeysOfARoomShareAHashTag(t *testing.T) {
	s := openAt(t, "redis://127.0.0.1:1")
	if got, want := s.key(mustRoom(t, "lobby"), "tok", "pub", "alice"), "test:{lobby}:tok:pub:alice"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestPing(t *testing.T) {
	srv := testkit.StartRedis(t)
	s := openAt(t, srv.URL)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Stop()
	wantCode(t, s.Ping(t.Context()), apierr.Unavailable)
	srv.Start()
	if err := s.Ping(t.Context()); err != nil {
		t.Fatalf("Redis is back: %v", err)
	}
}

func TestDeadlinesAreKeptWhileRedisHangs(t *testing.T) {
	srv := testkit.StartRedis(t)
	s := openAt(t, srv.URL)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Pause()
	defer srv.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	wantCode(t, s.Ping(ctx), apierr.Unavailable)
	if d := time.Since(begin); d > 1500*time.Millisecond {
		t.Fatalf("a call with 100 ms to live took %v", d)
	}
}
