package redisdb_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weever/shared/apierr"
	"weever/shared/redisdb"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
		db, err := redisdb.Open(url, "weever")
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := db.Close(); err != nil {
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
		db, err := redisdb.Open(tt.url, "weever")
		if err == nil {
			_ = db.Close()
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
		if _, err := redisdb.Open("redis://127.0.0.1", ns); err == nil || !strings.HasPrefix(err.Error(), "namespace: ") {
			t.Errorf("%q: %v", ns, err)
		}
	}
}

func FuzzOpenKeepsPasswords(f *testing.F) {
	for _, s := range []string{"", "/", "?", "#", "%", "@", " ", ":", "1/", "&addr=", "%2", "[", "?db=", "?addr="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, odd string) {
		db, err := redisdb.Open("redis://user:"+odd+"SECRET@127.0.0.1:1", "weever")
		if err == nil {
			_ = db.Close()
			return
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %v", odd, err)
		}
	})
}

func TestKeys(t *testing.T) {
	db := redisdbtest.Open(t, "redis://127.0.0.1:1")
	for want, got := range map[string]string{
		"test:{lobby}:tok:pub:alice": db.GroupKey("lobby", "tok", "pub", "alice"),
		"test:{lobby}:inc":           db.IncKey("lobby"),
		"test:rooms":                 db.Key("rooms"),
		"test:epoch:n-1_~Z":          db.Key("epoch", "n-1_~Z"),
		"test:node:a%7bb%7d%3a%2a:x": db.Key("node", "a{b}:*", "x"), // nothing leaves its field, nothing else becomes a hash tag
		"test:{a%7d%25%c3%a4}:%20":   db.GroupKey("a}%ä", " "),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPing(t *testing.T) {
	srv := testkit.StartRedis(t)
	db := redisdbtest.Open(t, srv.URL)
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Stop()
	redisdbtest.WantCode(t, db.Ping(t.Context()), apierr.Unavailable)
	srv.Start()
	if err := db.Ping(t.Context()); err != nil {
		t.Fatalf("Redis is back: %v", err)
	}
}

func TestDeadlinesAreKeptWhileRedisHangs(t *testing.T) {
	srv := testkit.StartRedis(t)
	db := redisdbtest.Open(t, srv.URL)
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Pause()
	defer srv.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	redisdbtest.WantCode(t, db.Ping(ctx), apierr.Unavailable)
	if d := time.Since(begin); d > 1500*time.Millisecond {
		t.Fatalf("a call with 100 ms to live took %v", d)
	}
}

// TestStats: an answer that says no is an answer; none is a failure.
func TestStats(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		before := db.Stats()
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = db.Client().Get(t.Context(), "nothing").Err()
		_ = db.Client().Do(t.Context(), "NOSUCHCOMMAND").Err()
		st := db.Stats()
		if n := st.Commands - before.Commands; n < 3 || st.Failed != before.Failed || st.Took <= before.Took || st.Connections == 0 {
			t.Errorf("before %+v, after three commands %+v", before, st)
		}
		gone := redisdbtest.Open(t, "redis://127.0.0.1:1")
		_ = gone.Ping(t.Context())
		if st := gone.Stats(); st.Commands != 1 || st.Failed != 1 {
			t.Errorf("nobody answers: %+v", st)
		}
	})
}
