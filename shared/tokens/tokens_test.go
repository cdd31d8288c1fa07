package tokens

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/redisdb"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/room"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openAt(t *testing.T, url string) *Tokens {
	t.Helper()
	return New(redisdbtest.Open(t, url), nil)
}

func TestTokenOpensItsOwnDoorOnly(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		tk := New(db, nil)
		ctx := t.Context()
		lobby, alice := roomtest.Name(t, "lobby"), roomtest.ID(t, "alice")
		redisdbtest.WantCode(t, checkToken(tk, ctx, lobby, room.Pub, alice, "secret"), apierr.BadToken)

		before := time.Now()
		expires, err := tk.SetToken(ctx, lobby, room.Pub, alice, "secret", auth.Grant{}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if d := expires.Sub(before); d < 59*time.Minute || d > 61*time.Minute || expires.Nanosecond() != 0 {
			t.Errorf("expires %v after being set", d)
		}
		if err := checkToken(tk, ctx, lobby, room.Pub, alice, "secret"); err != nil {
			t.Fatal(err)
		}
		if err := checkToken(tk, ctx, lobby, room.Pub, roomtest.ID(t, "alice-screen"), "secret"); err != nil {
			t.Fatalf("screen share: %v", err)
		}
		redisdbtest.WantCode(t, checkToken(tk, ctx, lobby, room.Pub, alice, "Secret"), apierr.BadToken)
		redisdbtest.WantCode(t, checkToken(tk, ctx, lobby, room.Pub, alice, ""), apierr.BadToken)
		redisdbtest.WantCode(t, checkToken(tk, ctx, lobby, room.Sub, alice, "secret"), apierr.BadToken)
		redisdbtest.WantCode(t, checkToken(tk, ctx, lobby, room.Pub, roomtest.ID(t, "bob"), "secret"), apierr.BadToken)
		redisdbtest.WantCode(t, checkToken(tk, ctx, roomtest.Name(t, "lobby2"), room.Pub, alice, "secret"), apierr.BadToken)

		if _, err := tk.SetToken(ctx, lobby, room.Pub, alice, "other", auth.Grant{}, time.Hour); err != nil {
			t.Fatal(err)
		}
		redisdbtest.WantCode(t, checkToken(tk, ctx, lobby, room.Pub, alice, "secret"), apierr.BadToken)
		if err := checkToken(tk, ctx, lobby, room.Pub, alice, "other"); err != nil {
			t.Fatal(err)
		}
		_, err = tk.SetToken(ctx, lobby, room.Pub, alice, "", auth.Grant{}, time.Hour)
		redisdbtest.WantCode(t, err, apierr.BadRequest)
	})
}

func TestTokenIsStoredAsHashAndExpires(t *testing.T) {
	m := miniredis.RunT(t)
	tk := openAt(t, "redis://"+m.Addr())
	ctx := t.Context()
	lobby, alice := roomtest.Name(t, "lobby"), roomtest.ID(t, "alice")
	if _, err := tk.SetToken(ctx, lobby, room.Pub, alice, "secret", auth.Grant{}, time.Minute); err != nil {
		t.Fatal(err)
	}
	if dump := m.Dump(); strings.Contains(dump, "secret") {
		t.Fatalf("the token is in Redis:\n%s", dump)
	}
	m.FastForward(59 * time.Second)
	if err := checkToken(tk, ctx, lobby, room.Pub, alice, "secret"); err != nil {
		t.Fatal(err)
	}
	m.FastForward(2 * time.Second)
	redisdbtest.WantCode(t, checkToken(tk, ctx, lobby, room.Pub, alice, "secret"), apierr.BadToken)
}

func TestTokensWhileRedisIsAway(t *testing.T) {
	srv := testkit.StartRedis(t)
	tk := openAt(t, srv.URL)
	lobby, alice := roomtest.Name(t, "lobby"), roomtest.ID(t, "alice")
	srv.Stop()
	redisdbtest.WantCode(t, checkToken(tk, t.Context(), lobby, room.Pub, alice, "secret"), apierr.Unavailable)
	redisdbtest.WantCode(t, checkToken(tk, t.Context(), lobby, room.Pub, alice, ""), apierr.BadToken)
	_, err := tk.SetToken(t.Context(), lobby, room.Pub, alice, "secret", auth.Grant{}, time.Minute)
	redisdbtest.WantCode(t, err, apierr.Unavailable)
	redisdbtest.WantCode(t, tk.Kick(t.Context(), lobby, room.Pub, alice), apierr.Unavailable)
	_, err = tk.KickedAt(t.Context(), lobby, room.Pub, alice)
	redisdbtest.WantCode(t, err, apierr.Unavailable)
}

func checkToken(tk *Tokens, ctx context.Context, rm room.Name, role room.Role, id room.ID, token string) error { //nolint:revive // reads as the method does
	_, err := tk.CheckToken(ctx, rm, role, id, token)
	return err
}
