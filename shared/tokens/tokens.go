// Package tokens keeps who may come into a room, and who may not any more.
//
// The control API sets tokens and kicks; media nodes check tokens and watch the kicks. Both live in Redis: the token of a person as a
// hash until it expires, a kick as a record in a stream that every node reads.
package tokens

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/redisdb"
	"weever/shared/room"
)

// Tokens is what Redis knows of tokens and kicks. It is made by New, used by many goroutines, and needs no end of its own.
type Tokens struct {
	db  *redisdb.DB
	log *slog.Logger
}

// New makes a Tokens. log takes what no caller can be told: records that cannot be read, Redis going and coming; nil means silence.
func New(db *redisdb.DB, log *slog.Logger) *Tokens {
	return &Tokens{db: db, log: cmp.Or(log, slog.New(slog.DiscardHandler))}
}

func (t *Tokens) tokenKey(rm room.Name, role room.Role, id room.ID) string {
	return t.db.GroupKey(rm.String(), "tok", string(role), id.String())
}

// sayMark follows the hash of a token that allows SAY.
const sayMark = "+say"

// SetToken lets the person in with this token, in this role and room, for ttl from now; an earlier token stops working. Only the
// token's hash is stored. It returns when the token expires, by our clock and to the second.
func (t *Tokens) SetToken(ctx context.Context, rm room.Name, role room.Role, id room.ID, token string, grant auth.Grant, ttl time.Duration) (time.Time, error) {
	if token == "" {
		return time.Time{}, apierr.New(apierr.BadRequest, "the token must not be empty")
	}
	expires := time.Now().UTC().Add(ttl).Truncate(time.Second)
	value := auth.Hash(token)
	if grant.Say {
		value += sayMark
	}
	if err := t.db.Client().Set(ctx, t.tokenKey(rm, role, id), value, ttl).Err(); err != nil {
		return time.Time{}, redisdb.Unavailable("set token", err)
	}
	return expires, nil
}

// CheckToken tells what token allows when it is the one that was set for the person in this role and room. It fails with apierr.BadToken when
// it is not (nothing set, expired, revoked, another one, empty), and with apierr.Unavailable when Redis cannot tell.
//
// A kick may come between this check and the incarnation of the session that it lets in, and such a session would be newer than
// the kick: who takes an incarnation after the check must check once more, before the session sends or receives anything.
func (t *Tokens) CheckToken(ctx context.Context, rm room.Name, role room.Role, id room.ID, token string) (auth.Grant, error) {
	if token == "" {
		return auth.Grant{}, apierr.New(apierr.BadToken, "send the token that was created for this id as Authorization: Bearer <token>")
	}
	value, err := t.db.Client().Get(ctx, t.tokenKey(rm, role, id)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return auth.Grant{}, redisdb.Unavailable("check token", err)
	}
	hash, say := strings.CutSuffix(value, sayMark)
	if !auth.Equal(auth.Hash(token), hash) {
		return auth.Grant{}, apierr.New(apierr.BadToken, "the token is not valid for this room, role and id; it may have expired or been revoked")
	}
	return auth.Grant{Say: say}, nil
}
