// Package store keeps what all nodes and functions must agree on in Redis; it is the only place that knows Redis keys.
//
// The keys of one room share a hash tag, so in Redis Cluster a room lives in one slot and its scripts may touch all its keys.
// Names that reach a key are validated types whose characters cannot leave their field.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"weever/shared/apierr"
	"weever/shared/room"
)

const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 2 * time.Second
	retryAfter  = 2 * time.Second // what clients are told while Redis is away
)

// incarnationLua is the one way to take an incarnation; every script that hands one out begins with it.
//
// incarnation(key) returns the next number of the room's counter as an integer string. It never falls: it is above the
// counter's last value and, as the clock in microseconds, above what an emptied Redis had given out. That clock is also why the
// counter may expire. The number stays below 2^53, so Lua's doubles hold it exactly; %.0f keeps it from becoming 1e15.
const incarnationLua = `
local function incarnation(key)
  local now = redis.call('TIME')
  local last = tonumber(redis.call('GET', key) or '0') or 0
  local next = string.format('%.0f', math.max(last + 1, tonumber(now[1]) * 1000000 + tonumber(now[2])))
  redis.call('SET', key, next, 'EX', 3600)
  return next
end
`

// Store is a connection to Redis. It is made by Open, owned by main, used by many goroutines, and ends with Close.
type Store struct {
	// Log takes what no caller can be told: records that cannot be read, Redis going and coming. Nil means silence.
	// It is set before the first use.
	Log *slog.Logger

	rdb redis.UniversalClient
	ns  string
}

// Open prepares a store; it does not dial, so it succeeds while Redis is away. rawURL is redis:// or rediss:// (TLS) with user,
// password and database as usual; "?addr=host:port" (repeatable) makes it a cluster, "?master_name=" a set of sentinels.
// The library's other options may follow ("pool_size", "dial_timeout", …), but those that read from replicas are refused.
// namespace prefixes every key and follows the rules of room names. Errors name the fault and never repeat a password.
func Open(rawURL, namespace string) (*Store, error) {
	if _, err := room.ParseName(namespace); err != nil {
		return nil, fmt.Errorf("namespace: must be 1 to %d characters of A-Z a-z 0-9 _ - ~", room.MaxName)
	}
	rdb, err := open(rawURL)
	if err != nil {
		return nil, err
	}
	redis.SetLogger(silent{})
	return &Store{rdb: rdb, ns: namespace}, nil
}

// Close ends all connections. Calls under way fail.
func (s *Store) Close() error { return s.rdb.Close() }

// Ping asks Redis for an answer: nil when it gave one.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.rdb.Ping(ctx).Err(); err != nil {
		return unavailable("ping", err)
	}
	return nil
}

// key is the name of a thing of a room: "<namespace>:{<room>}:a:b". The parts are constants and validated names.
func (s *Store) key(rm room.Name, parts ...string) string {
	return s.ns + ":{" + rm.String() + "}:" + strings.Join(parts, ":")
}

// unavailable is what callers learn when Redis did not do what was asked, whatever the reason; op and err are for the log.
func unavailable(op string, err error) error {
	return apierr.Wrap(apierr.Unavailable, fmt.Errorf("redis: %s: %w", op, err), "the room store is not reachable; try again").After(retryAfter)
}

// open chooses the client by the form of the URL.
func open(rawURL string) (redis.UniversalClient, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parser's text quotes the piece it stumbled over, and that may be the password.
		return nil, errors.New("redis URL: cannot be parsed; it must look like redis://user:password@host:6379/0, " +
			"with special characters of the password percent-encoded")
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, errors.New("redis URL: must begin with redis:// or rediss:// (TLS)")
	}
	for _, option := range []string{"read_only", "route_by_latency", "route_randomly", "replica_only"} {
		if u.Query().Has(option) {
			return nil, fmt.Errorf("redis URL: %s cannot be used: replicas lag, and nodes decide on what they read", option)
		}
	}
	switch q := u.Query(); {
	case q.Has("master_name"):
		o, err := redis.ParseFailoverURL(rawURL)
		if err != nil {
			return nil, urlFault(u, err)
		}
		o.ContextTimeoutEnabled, o.DisableIdentity, o.DialerRetries = true, true, 1
		limits(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.MaxRetries)
		return redis.NewFailoverClient(o), nil
	case q.Has("addr"):
		o, err := redis.ParseClusterURL(rawURL)
		if err != nil {
			return nil, urlFault(u, err)
		}
		o.ContextTimeoutEnabled, o.DisableIdentity, o.DialerRetries = true, true, 1
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		limits(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.MaxRetries)
		return redis.NewClusterClient(o), nil
	default:
		o, err := redis.ParseURL(rawURL)
		if err != nil {
			return nil, urlFault(u, err)
		}
		o.ContextTimeoutEnabled, o.DisableIdentity, o.DialerRetries = true, true, 1
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		limits(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.MaxRetries)
		return redis.NewClient(o), nil
	}
}

// limits fills in what the URL left open. One retry is for a connection that died in the pool; more would only make callers
// wait longer for the news that Redis is away.
func limits(dial, read, write *time.Duration, retries *int) {
	*dial = cmp.Or(*dial, dialTimeout)
	*read, *write = cmp.Or(*read, ioTimeout), cmp.Or(*write, ioTimeout)
	*retries = cmp.Or(*retries, 1)
}

// urlFault passes on what the library says about the URL when no part of a password can be in it: a password with an
// unescaped "/" or "?" ends up in path or query, and then an "@" does, too.
func urlFault(u *url.URL, err error) error {
	if strings.Contains(u.Host+u.Path+u.RawQuery+u.Fragment, "@") || strings.Contains(u.RawQuery, "password") {
		return errors.New("redis URL: cannot be used; special characters of the password must be percent-encoded")
	}
	return fmt.Errorf("redis URL: %s", strings.TrimPrefix(err.Error(), "redis: "))
}

// silent drops what the library would print to standard error: every failure also comes back as an error.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
