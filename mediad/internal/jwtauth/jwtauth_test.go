package jwtauth

import (
	"context"
	"errors"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"weever/shared/apierr"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/room"
	"weever/shared/testkit"
	"weever/shared/tokens"
)

func TestNewNamesEveryFault(t *testing.T) {
	_, err := New(Config{JWKSURL: must(url.Parse("http://issuer.example/keys"))})
	if err == nil || !strings.Contains(err.Error(), "memory of kicks") || !strings.Contains(err.Error(), "must be https") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{Kicks: neverKicked{}}); err == nil || !strings.Contains(err.Error(), "secret or the URL") {
		t.Errorf("got %v", err)
	}
	for _, u := range []string{"https://issuer.example/keys", "http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost/"} {
		if _, err := New(Config{JWKSURL: must(url.Parse(u)), Kicks: neverKicked{}}); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	for _, u := range []string{"http://10.0.0.1/", "http://localhost.example/", "ftp://127.0.0.1/", "https:///keys", "/keys"} {
		if _, err := New(Config{JWKSURL: must(url.Parse(u)), Kicks: neverKicked{}}); err == nil {
			t.Errorf("%s was accepted", u)
		}
	}
}

// bySecret is a Checker of the secret alone.
func bySecret(t testing.TB, change func(*Config)) *Checker {
	t.Helper()
	cfg := Config{Secret: secret, Kicks: neverKicked{}}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSecret(t *testing.T) {
	c := bySecret(t, nil)
	wantGood(t, c, good(t))
	wantGood(t, c, issue(t, jose.HS256, []byte(secret), "some-kid", payload(nil)))
	wantBad(t, c, "", "Authorization: Bearer")
	wantBad(t, c, good(t)+"A", "signature is wrong")
	wantBad(t, c, good(t)+"!", "cannot be read")
	wantBad(t, c, issue(t, jose.HS256, []byte(strings.Repeat("x", 32)), "", payload(nil)), "signature is wrong")
	// The rest of a good token under a changed payload.
	parts := strings.Split(good(t), ".")
	wantBad(t, c, parts[0]+"."+b64(asJSON(payload(map[string]any{"say": true})))+"."+parts[2], "signature is wrong")
	wantBad(t, c, parts[0]+"."+parts[1]+".", "signature is wrong")
}

// A short secret is what other libraries make of it, too: the MAC of these bytes.
func TestSecretsOfAnyLength(t *testing.T) {
	for _, n := range []int{1, 5, 31, 32, 33, 63, 64, 65, 200} {
		key := strings.Repeat("k", n)
		c := bySecret(t, func(cfg *Config) { cfg.Secret = key })
		wantGood(t, c, craft(`{"alg":"HS256"}`, asJSON(payload(nil)), []byte(key)))
		wantBad(t, c, craft(`{"alg":"HS256"}`, asJSON(payload(nil)), []byte(key+"k")), "signature")
	}
}

func TestClaims(t *testing.T) {
	c := bySecret(t, nil)
	now := time.Now().Unix()
	const day = 24 * 3600
	type m = map[string]any
	for name, tt := range map[string]struct {
		changes m
		words   string // "": good
	}{
		"more claims":             {m{"sub": 17, "name": "Alice", "jti": []int{1}}, ""},
		"no room":                 {m{"room": nil}, "another room"},
		"empty room":              {m{"room": ""}, "another room"},
		"another room":            {m{"room": "echo"}, "another room"},
		"room in another case":    {m{"room": "Tea"}, "another room"},
		"rooms":                   {m{"room": []string{"tea"}}, "wrong type"},
		"room is a number":        {m{"room": 7}, "wrong type"},
		"all rooms":               {m{"room": "*"}, "another room"},
		"no role":                 {m{"role": nil}, "must be \"pub\""},
		"another role":            {m{"role": "sub"}, "another role"},
		"role in another case":    {m{"role": "PUB"}, "another role"},
		"both roles":              {m{"role": "pub sub"}, "another role"},
		"no id":                   {m{"id": nil}, "another id"},
		"another id":              {m{"id": "echo"}, "another id"},
		"a full id":               {m{"id": "alice+tab"}, "another id"},
		"a screen":                {m{"id": "alice-screen"}, "another id"},
		"null id":                 {m{"id": (*string)(nil)}, "another id"},
		"no exp":                  {m{"exp": nil}, "(exp)"},
		"null exp":                {m{"exp": (*int)(nil)}, "(exp)"},
		"text exp":                {m{"exp": "echo"}, "wrong type"},
		"number in text":          {m{"exp": "9999999999"}, "wrong type"},
		"zero exp":                {m{"exp": 0}, "expired"},
		"negative exp":            {m{"exp": -1}, "expired"},
		"most negative exp":       {m{"exp": math.MinInt64}, "wrong type"},
		"float exp":               {m{"exp": float64(now) + 60.75}, ""},
		"huge exp":                {m{"exp": 1e18}, "longer than 30 days"},
		"exp beyond int64":        {m{"exp": uint64(math.MaxUint64)}, "wrong type"},
		"exp beyond float64":      {m{"exp": rawJSON("1e999")}, "wrong type"},
		"exp and iat at the ends": {m{"exp": int64(1)<<62 - 1024, "iat": -(int64(1)<<62 - 1024)}, "longer than 30 days"},
		"exp is an object":        {m{"exp": m{}}, "wrong type"},
		"just expired":            {m{"exp": now - 1}, ""},
		"expired":                 {m{"exp": now - 10}, "expired"},
		"no iat":                  {m{"iat": nil}, "(iat)"},
		"iat ahead, a little":     {m{"iat": now + 3}, ""},
		"iat ahead":               {m{"iat": now + 60}, "in the future"},
		"float iat":               {m{"iat": float64(now) - 0.5}, ""},
		"30 days":                 {m{"iat": now, "exp": now + 30*day}, ""},
		"more than 30 days":       {m{"iat": now, "exp": now + 30*day + 1}, "longer than 30 days"},
		"30 days left of 60":      {m{"iat": now - 30*day, "exp": now + 29*day}, "longer than 30 days"},
		"nbf past":                {m{"nbf": now - 1}, ""},
		"nbf ahead, a little":     {m{"nbf": now + 3}, ""},
		"nbf ahead":               {m{"nbf": now + 60}, "(nbf)"},
		"nbf far ahead":           {m{"nbf": 1e18}, "(nbf)"},
		"text nbf":                {m{"nbf": "now"}, "wrong type"},
		"text say":                {m{"say": "true"}, "wrong type"},
	} {
		t.Run(name, func(t *testing.T) {
			token := craft(`{"alg":"HS256"}`, asJSON(payload(tt.changes)), []byte(secret))
			if tt.words == "" {
				wantGood(t, c, token)
			} else {
				wantBad(t, c, token, tt.words)
			}
		})
	}
}

type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func TestClaimsThatComeTwiceOrAlmost(t *testing.T) {
	c := bySecret(t, nil)
	body := func(more string) string { return strings.TrimSuffix(asJSON(payload(nil)), "}") + more + "}" }
	for _, more := range []string{`,"room":"tea"`, `,"room":"other"`, `,"exp":9999999999`, `,"x":1,"x":1`, `,"\u0072oom":"tea"`} {
		wantBad(t, c, craft(`{"alg":"HS256"}`, body(more), []byte(secret)), "twice")
	}
	// Other libraries take "Room" for "room"; here it is a claim that means nothing.
	wantGood(t, c, craft(`{"alg":"HS256"}`, body(`,"Room":"other","ROLE":"sub"`), []byte(secret)))
	wantBad(t, c, craft(`{"alg":"HS256"}`, strings.Replace(body(""), `"room"`, `"Room"`, 1), []byte(secret)), "another room")
	for _, header := range []string{`{"alg":"HS256","alg":"HS256"}`, `{"alg":"none","alg":"HS256"}`, `{"Alg":"HS256"}`, `{"alg":["HS256"]}`, `[]`, `null`, ``} {
		if err := check(t, c, craft(header, body(""), []byte(secret))); err == nil {
			t.Errorf("header %s passed", header)
		}
	}
	for _, claims := range []string{``, `null`, `[]`, `"x"`, `7`, `{}`, strings.Repeat("[", 5000), `{"room":"tea"`, body("") + "{}"} {
		if err := check(t, c, craft(`{"alg":"HS256"}`, claims, []byte(secret))); err == nil {
			t.Errorf("claims %.20s passed", claims)
		}
	}
}

func TestAudienceAndIssuer(t *testing.T) {
	c := bySecret(t, func(cfg *Config) { cfg.Audience, cfg.Issuer = "weever", "https://issuer.example" })
	type m = map[string]any
	for name, tt := range map[string]struct {
		aud, iss any
		words    string
	}{
		"both":           {"weever", "https://issuer.example", ""},
		"one of several": {[]string{"echo", "weever"}, "https://issuer.example", ""},
		"no aud":         {nil, "https://issuer.example", "(aud)"},
		"another aud":    {"echo", "https://issuer.example", "(aud)"},
		"a longer aud":   {"weever2", "https://issuer.example", "(aud)"},
		"aud a number":   {7, "https://issuer.example", "wrong type"},
		"no iss":         {"weever", nil, "(iss)"},
		"another iss":    {"weever", "https://echo.example", "(iss)"},
		"several iss":    {"weever", []string{"https://issuer.example"}, "wrong type"},
	} {
		t.Run(name, func(t *testing.T) {
			token := craft(`{"alg":"HS256"}`, asJSON(payload(m{"aud": tt.aud, "iss": tt.iss})), []byte(secret))
			if tt.words == "" {
				wantGood(t, c, token)
			} else {
				wantBad(t, c, token, tt.words)
			}
		})
	}
	wantGood(t, bySecret(t, nil), issue(t, jose.HS256, []byte(secret), "", payload(m{"aud": "else", "iss": "else"})))
}

func TestSay(t *testing.T) {
	c := bySecret(t, nil)
	for say, want := range map[any]bool{nil: false, false: false, true: true} {
		got, err := c.CheckToken(t.Context(), tea, room.Pub, alice, issue(t, jose.HS256, []byte(secret), "", payload(map[string]any{"say": say})))
		if err != nil || got.Say != want {
			t.Errorf("say %v: %+v, %v", say, got, err)
		}
	}
}

// A token opens one door.
func TestNoReplay(t *testing.T) {
	c := bySecret(t, nil)
	rooms := []room.Name{tea, must(room.ParseName("tea2")), must(room.ParseName("te"))}
	ids := []room.ID{alice, must(room.ParseID("alice2")), must(room.ParseID("bob")), must(room.ParseID("tea"))}
	opened := 0
	for _, rm := range rooms {
		for _, role := range []room.Role{room.Pub, room.Sub} {
			for _, id := range ids {
				if _, err := c.CheckToken(t.Context(), rm, role, id, good(t)); err == nil {
					opened++
				} else {
					wantCode(t, err, apierr.BadToken, "for another")
				}
			}
		}
	}
	if opened != 1 {
		t.Errorf("one token opened %d doors", opened)
	}
	// The zero values are no door, even for a token that lacks the claims.
	empty := craft(`{"alg":"HS256"}`, asJSON(payload(map[string]any{"room": "", "id": "", "role": ""})), []byte(secret))
	if _, err := c.CheckToken(t.Context(), room.Name{}, "", room.ID{}, empty); err == nil {
		t.Error("nothing was let in")
	}
}

func TestKicks(t *testing.T) {
	redis := testkit.StartRedis(t)
	s := tokens.New(redisdbtest.Open(t, redis.URL), nil)
	c := bySecret(t, func(cfg *Config) { cfg.Kicks = s })
	at := func(role room.Role, iat int64) error {
		_, err := c.CheckToken(t.Context(), tea, role, alice, issue(t, jose.HS256, []byte(secret), "", payload(map[string]any{"role": role, "iat": iat})))
		return err
	}
	old := time.Now().Unix() - 60
	if err := at(room.Pub, old); err != nil {
		t.Fatal(err)
	}
	if err := s.Kick(t.Context(), tea, room.Pub, alice); err != nil {
		t.Fatal(err)
	}
	kicked, err := s.KickedAt(t.Context(), tea, room.Pub, alice)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, at(room.Pub, old), apierr.BadToken, "kicked")
	wantCode(t, at(room.Pub, kicked.Unix()-1), apierr.BadToken, "kicked")
	wantCode(t, at(room.Pub, kicked.Unix()), apierr.BadToken, "kicked")   // which half of the second it is from nobody can say
	wantCode(t, at(room.Pub, kicked.Unix()+1), apierr.BadToken, "kicked") // by a clock that is ahead of ours
	clock := kicked.Add(leeway + time.Second)
	for time.Now().Add(leeway).Before(clock) {
		<-time.After(50 * time.Millisecond)
	}
	if err := at(room.Pub, clock.Unix()); err != nil {
		t.Errorf("a token issued after the kick: %v", err)
	}
	if err := at(room.Sub, old); err != nil {
		t.Errorf("the other role: %v", err)
	}
	redis.Stop()
	wantCode(t, at(room.Pub, kicked.Unix()+1), apierr.Unavailable, "try again")
	// What is wrong with the token itself does not need Redis.
	wantCode(t, at(room.Pub, old-31*24*3600), apierr.BadToken, "30 days")
}

type brokenMemory struct{}

func (brokenMemory) KickedAt(context.Context, room.Name, room.Role, room.ID) (time.Time, error) {
	return time.Time{}, errors.New("internal text")
}

func TestOtherErrorsOfTheMemoryStayInside(t *testing.T) {
	c := bySecret(t, func(cfg *Config) { cfg.Kicks = brokenMemory{} })
	err := check(t, c, good(t))
	wantCode(t, err, apierr.Unavailable, "try again")
	if strings.Contains(apierr.From(err).Detail, "internal text") {
		t.Errorf("shown: %v", err)
	}
}

func TestLength(t *testing.T) {
	c := bySecret(t, nil)
	token := func(n int) string {
		return issue(t, jose.HS256, []byte(secret), "", payload(map[string]any{"filler": strings.Repeat("x", n)}))
	}
	wantGood(t, c, token(5900))
	for _, n := range []int{maxToken, 1 << 20} {
		wantBad(t, c, token(n), "longer than 8192 bytes")
	}
}
