// Package redisdb is the connection to Redis: it opens a URL, names keys and says what a failure means.
//
// It does not know what is kept there: shared/tokens, shared/store and shared/lease do, each of its own keys. main opens one DB, hands it
// to them, and closes it when they have ended.
package redisdb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"weever/shared/apierr"
	"weever/shared/room"
)

const retryAfter = 2 * time.Second // what clients are told while Redis is away

// AnswerTime is how long Redis may take for an answer, unless the URL says otherwise. A command that blocks has its own time besides.
const AnswerTime = 2 * time.Second

// DB is a connection to Redis and the namespace of one installation in it. It is used by many goroutines.
type DB struct {
	rdb   redis.UniversalClient
	ns    string
	meter *meter
}

// Open prepares a connection; it does not dial, so it succeeds while Redis is away. rawURL is redis:// or rediss:// (TLS) with user,
// password and database as usual; "?addr=host:port" (repeatable) makes it a cluster, "?master_name=" a set of sentinels.
// The library's other options may follow ("pool_size", "dial_timeout", …), but those that read from replicas are refused.
// namespace prefixes every key and follows the rules of room names. Errors name the fault and never repeat a password.
func Open(rawURL, namespace string) (*DB, error) {
	if _, err := room.ParseName(namespace); err != nil {
		return nil, fmt.Errorf("namespace: must be 1 to %d characters of A-Z a-z 0-9 _ - ~", room.MaxName)
	}
	rdb, err := open(rawURL)
	if err != nil {
		return nil, err
	}
	redis.SetLogger(silent{})
	m := new(meter)
	rdb.AddHook(m)
	return &DB{rdb: rdb, ns: namespace, meter: m}, nil
}

// Close ends all connections. Calls under way fail.
func (db *DB) Close() error { return db.rdb.Close() }

// Ping asks Redis for an answer: nil when it gave one.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.rdb.Ping(ctx).Err(); err != nil {
		return Unavailable("ping", err)
	}
	return nil
}

// Client runs commands. Each call takes AnswerTime at most, or what the URL says, or what its context has left.
func (db *DB) Client() redis.UniversalClient { return db.rdb }

// Key names a thing of the installation: "<namespace>:a:b", with each part escaped, so that none can leave its field. In a cluster
// two such keys lie anywhere: no command or script may touch both.
func (db *DB) Key(parts ...string) string {
	return db.ns + ":" + join(parts)
}

// GroupKey names a thing of a group, such as a room: "<namespace>:{<group>}:a:b". The braces are a hash tag: in a cluster all keys of
// a group lie in one slot, so that one script may touch them all.
func (db *DB) GroupKey(group string, parts ...string) string {
	return db.ns + ":{" + escape(group) + "}:" + join(parts)
}

func join(parts []string) string {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = escape(p)
	}
	return strings.Join(escaped, ":")
}

// escape leaves alone what names are made of and writes all else as "%" and two hex digits.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// Unavailable is what callers learn when Redis did not do what was asked, whatever the reason; op and err are for the log.
func Unavailable(op string, err error) error {
	return apierr.Wrap(apierr.Unavailable, fmt.Errorf("redis: %s: %w", op, err), "the room store is not reachable; try again").After(retryAfter)
}

// silent drops what the library would print to standard error: every failure also comes back as an error.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
