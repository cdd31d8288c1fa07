package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/room"
)

// This file is used by the control API, which sets tokens, and by media nodes, which check them. Kick deletes them.

func (s *Store) tokenKey(rm room.Name, role room.Role, id room.ID) string {
	return s.key(rm, "tok", string(role), id.String())
}

// sayMark follows the hash of a token that allows SAY.
const sayMark = "+say"

// SetToken lets the person in with this token, in this role and room, for ttl from now; an earlier token stops working. Only the
// token's hash is stored. It returns when the token expires, by our clock and to the second.
func (s *Store) SetToken(ctx context.Context, rm room.Name, role room.Role, id room.ID, token string, grant auth.Grant, ttl time.Duration) (time.Time, error) {
	if token == "" {
		return time.Time{}, apierr.New(apierr.BadRequest, "the token must not be empty")
	}
	expires := time.Now().UTC().Add(ttl).Truncate(time.Second)
	value := auth.Hash(token)
	if grant.Say {
		value += sayMark
	}
	if err := s.rdb.Set(ctx, s.tokenKey(rm, role, id), value, ttl).Err(); err != nil {
		return time.Time{}, unavailable("set token", err)
	}
	return expires, nil
}

// CheckToken tells what token allows when it is the one that was set for the person in this role and room. It fails with apierr.BadToken when
// it is not (nothing set, expired, revoked, another one, empty), and with apierr.Unavailable when Redis cannot tell.
//
// A kick may come between this check and the incarnation of the session that it lets in, and such a session would be newer than
// the kick: who takes an incarnation after the check must check once more, before the session sends or receives anything.
func (s *Store) CheckToken(ctx context.Context, rm room.Name, role room.Role, id room.ID, token string) (auth.Grant, error) {
	if token == "" {
		return auth.Grant{}, apierr.New(apierr.BadToken, "send the token that was created for this id as Authorization: Bearer <token>")
	}
	value, err := s.rdb.Get(ctx, s.tokenKey(rm, role, id)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return auth.Grant{}, unavailable("check token", err)
	}
	hash, say := strings.CutSuffix(value, sayMark)
	if !auth.Equal(auth.Hash(token), hash) {
		return auth.Grant{}, apierr.New(apierr.BadToken, "the token is not valid for this room, role and id; it may have expired or been revoked")
	}
	return auth.Grant{Say: say}, nil
}
