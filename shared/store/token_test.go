package store

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/room"
	"weever/shared/testkit"
)

func TestTokenOpensItsOwnDoorOnly(t *testing.T) {
	eachRedis(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		lobby, alice := mustRoom(t, "lobby"), mustID(t, "alice")
		wantCode(t, checkToken(s, ctx, lobby, room.Pub, alice, "secret"), apierr.BadToken)

		before := time.Now()
		expires, err := s.SetToken(ctx, lobby, room.Pub, alice, "secret", auth.Grant{}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if d := expires.Sub(before); d < 59*time.Minute || d > 61*time.Minute || expires.Nanosecond() != 0 {
			t.Errorf("expires %v after being set", d)
		}
		if err := checkToken(s, ctx, lobby, room.Pub, alice, "secret"); err != nil {
			t.Fatal(err)
		}
		if err := checkToken(s, ctx, lobby, room.Pub, mustID(t, "alice-screen"), "secret"); err != nil {
			t.Fatalf("screen share: %v", err)
		}
		wantCode(t, checkToken(s, ctx, lobby, room.Pub, alice, "Secret"), apierr.BadToken)
		wantCode(t, checkToken(s, ctx, lobby, room.Pub, alice, ""), apierr.BadToken)
		wantCode(t, checkToken(s, ctx, lobby, room.Sub, alice, "secret"), apierr.BadToken)
		wantCode(t, checkToken(s, ctx, lobby, room.Pub, mustID(t, "bob"), "secret"), apierr.BadToken)
		wantCode(t, checkToken(s, ctx, mustRoom(t, "lobby2"), room.Pub, alice, "secret"), apierr.BadToken)

		if _, err := s.SetToken(ctx, lobby, room.Pub, alice, "other", auth.Grant{}, time.Hour); err != nil {
			t.Fatal(err)
		}
		wantCode(t, checkToken(s, ctx, lobby, room.Pub, alice, "secret"), apierr.BadToken)
		if err := checkToken(s, ctx, lobby, room.Pub, alice, "other"); err != nil {
			t.Fatal(err)
		}
		_, err = s.SetToken(ctx, lobby, room.Pub, alice, "", auth.Grant{}, time.Hour)
		wantCode(t, err, apierr.BadRequest)
	})
}

func TestTokenIsStoredAsHashAndExpires(t *testing.T) {
	m := miniredis.RunT(t)
	s := openAt(t, "redis://"+m.Addr())
	ctx := t.Context()
	lobby, alice := mustRoom(t, "lobby"), mustID(t, "alice")
	if _, err := s.SetToken(ctx, lobby, room.Pub, alice, "secret", auth.Grant{}, time.Minute); err != nil {
		t.Fatal(err)
	}
	if dump := m.Dump(); strings.Contains(dump, "secret") {
		t.Fatalf("the token is in Redis:\n%s", dump)
	}
	m.FastForward(59 * time.Second)
	if err := checkToken(s, ctx, lobby, room.Pub, alice, "secret"); err != nil {
		t.Fatal(err)
	}
	m.FastForward(2 * time.Second)
	wantCode(t, checkToken(s, ctx, lobby, room.Pub, alice, "secret"), apierr.BadToken)
}

func TestTokensWhileRedisIsAway(t *testing.T) {
	srv := testkit.StartRedis(t)
	s := openAt(t, srv.URL)
	lobby, alice := mustRoom(t, "lobby"), mustID(t, "alice")
	srv.Stop()
	wantCode(t, checkToken(s, t.Context(), lobby, room.Pub, alice, "secret"), apierr.Unavailable)
	wantCode(t, checkToken(s, t.Context(), lobby, room.Pub, alice, ""), apierr.BadToken)
	_, err := s.SetToken(t.Context(), lobby, room.Pub, alice, "secret", auth.Grant{}, time.Minute)
	wantCode(t, err, apierr.Unavailable)
	wantCode(t, s.Kick(t.Context(), lobby, room.Pub, alice), apierr.Unavailable)
	_, err = s.KickedAt(t.Context(), lobby, room.Pub, alice)
	wantCode(t, err, apierr.Unavailable)
}

func checkToken(s *Store, ctx context.Context, rm room.Name, role room.Role, id room.ID, token string) error { //nolint:revive // reads as the method does
	_, err := s.CheckToken(ctx, rm, role, id, token)
	return err
}
