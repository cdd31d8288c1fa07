package redisdb

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// This file is used by Open: it turns a URL into one of the library's clients.

const (
	dialTimeout = 2 * time.Second

	// connBuffer is in bytes, twice a connection, and pools keep what the busiest moment needed. The library's own 128 KiB for
	// pipelines are for megabytes of replies; the records of a room are a few KiB.
	connBuffer = 16 << 10
)

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
		buffers(&o.ReadBufferSize, &o.WriteBufferSize, &o.PipelineReadBufferSize, &o.PipelineWriteBufferSize)
		limits(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.MaxRetries)
		return redis.NewFailoverClient(o), nil
	case q.Has("addr"):
		o, err := redis.ParseClusterURL(rawURL)
		if err != nil {
			return nil, urlFault(u, err)
		}
		o.ContextTimeoutEnabled, o.DisableIdentity, o.DialerRetries = true, true, 1
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		buffers(&o.ReadBufferSize, &o.WriteBufferSize, &o.PipelineReadBufferSize, &o.PipelineWriteBufferSize)
		limits(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.MaxRetries)
		return redis.NewClusterClient(o), nil
	default:
		o, err := redis.ParseURL(rawURL)
		if err != nil {
			return nil, urlFault(u, err)
		}
		o.ContextTimeoutEnabled, o.DisableIdentity, o.DialerRetries = true, true, 1
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		buffers(&o.ReadBufferSize, &o.WriteBufferSize, &o.PipelineReadBufferSize, &o.PipelineWriteBufferSize)
		limits(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.MaxRetries)
		return redis.NewClient(o), nil
	}
}

// limits fills in what the URL left open. One retry is for a connection that died in the pool; more would only make callers
// wait longer for the news that Redis is away.
func limits(dial, read, write *time.Duration, retries *int) {
	*dial = cmp.Or(*dial, dialTimeout)
	*read, *write = cmp.Or(*read, AnswerTime), cmp.Or(*write, AnswerTime)
	*retries = cmp.Or(*retries, 1)
}

// buffers likewise.
func buffers(sizes ...*int) {
	for _, size := range sizes {
		*size = cmp.Or(*size, connBuffer)
	}
}

// urlFault passes on what the library says about the URL when no part of a password can be in it: a password with an
// unescaped "/" or "?" ends up in path or query, and then an "@" does, too.
func urlFault(u *url.URL, err error) error {
	if strings.Contains(u.Host+u.Path+u.RawQuery+u.Fragment, "@") || strings.Contains(u.RawQuery, "password") {
		return errors.New("redis URL: cannot be used; special characters of the password must be percent-encoded")
	}
	return fmt.Errorf("redis URL: %s", strings.TrimPrefix(err.Error(), "redis: "))
}
