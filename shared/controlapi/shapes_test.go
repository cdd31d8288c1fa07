package controlapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/logtest"
	"weever/shared/room"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

// wantText fails unless r is that plain text.
func (r reply) wantText(t *testing.T, body string) {
	t.Helper()
	if r.status != http.StatusOK || r.body != body || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
		t.Fatalf("got %+v, want %q", r, body)
	}
}

type createdJSON struct {
	Room      string    `json:"room"`
	ID        string    `json:"id"`
	Role      string    `json:"role"`
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

func TestCreate(t *testing.T) {
	var log logtest.Buffer
	s := newSite(t, testkit.Redis(t), func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	lobby, alice := roomtest.Name(t, "lobby"), roomtest.ID(t, "alice")
	opens := func(role room.Role, token string) bool {
		_, err := s.tokens.CheckToken(t.Context(), lobby, role, alice, token)
		if err != nil && apierr.From(err).Code != apierr.BadToken {
			t.Fatal(err)
		}
		return err == nil
	}

	// The original clients: a token, any keys beside it, plain text back.
	for _, tt := range []struct {
		path, body string
		headers    []string
		want       string
	}{
		{"/create/pub", `{"room":"lobby","id":"alice","role":"pub","token":"t-original"}`, nil, "pub set"},
		{"/create/pub", `{"room":"lobby","id":"alice","token":"t-browser"}`, []string{"Accept: */*"}, "pub set"},
		{"/create/sub", `{"room":"lobby","id":"alice","token":"t-text","ttl_seconds":null}`, []string{"Accept: text/plain"}, "sub set"},
		{"/create/sub", `{"room":"lobby","id":"alice+tab2","token":"t-full-id","ttl_seconds":2592000}`, nil, "sub set"},
		{"/create/sub", `{"room":"lobby","id":"alice-screen","token":"t screen","ttl_seconds":1}`, nil, "sub set"},
		{"/create/sub", ` {"room":"lobby","id":"alice","token":"` + strings.Repeat("~", 4096) + `"} `, nil, "sub set"},
	} {
		s.do("POST", tt.path, tt.body, append(tt.headers, "Content-Type: application/json; charset=utf-8")...).wantText(t, tt.want)
	}
	if !opens(room.Pub, "t-browser") || opens(room.Pub, "t-original") {
		t.Error("the last token that was set is not the one that opens")
	}
	if !opens(room.Sub, strings.Repeat("~", 4096)) {
		t.Error("the longest token does not open")
	}

	// JSON for those who ask.
	for ttl, body := range map[time.Duration]string{
		24 * time.Hour:        `{"room":"lobby","id":"alice+tab2","token":"secret"}`,
		time.Second:           `{"room":"lobby","id":"alice+tab2","token":"secret","ttl_seconds":1}`,
		2592000 * time.Second: `{"room":"lobby","id":"alice+tab2","token":"secret","ttl_seconds":2592000}`,
	} {
		var got createdJSON
		before := time.Now()
		s.do("POST", "/create/pub", body, isJSON, wantJSON).decode(t, &got)
		lasts := got.ExpiresAt.Sub(before.Truncate(time.Second))
		got.ExpiresAt = time.Time{}
		if got != (createdJSON{Room: "lobby", ID: "alice", Role: "pub", Token: "secret"}) {
			t.Errorf("got %+v", got)
		}
		if lasts < ttl || lasts > ttl+5*time.Second {
			t.Errorf("expires after %v, want %v", lasts, ttl)
		}
	}

	// Nobody is given an empty token: one is made, and the answer is JSON whatever was asked for.
	made := map[string]bool{}
	for _, body := range []string{
		`{"room":"lobby","id":"alice"}`, `{"room":"lobby","id":"alice","token":""}`, `{"room":"lobby","id":"alice","token":null}`,
	} {
		var got createdJSON
		s.do("POST", "/create/pub", body, isJSON, "Accept: text/plain").decode(t, &got)
		if len(got.Token) < 22 || made[got.Token] || !opens(room.Pub, got.Token) { // 22 characters of base64 hold 128 bits
			t.Errorf("%s: token %q", body, got.Token)
		}
		made[got.Token] = true
	}
	if opens(room.Pub, "") {
		t.Error("an empty token opens")
	}

	text := log.String()
	for _, secret := range []string{"t-original", "secret", "~~~~"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	if !strings.Contains(text, "room=lobby role=pub peer=alice") {
		t.Errorf("the log does not say who was let in:\n%s", text)
	}
}

type listedJSON struct {
	Room  string `json:"room"`
	Role  string `json:"role"`
	Peers []struct {
		ID       string       `json:"id"`
		FullID   string       `json:"full_id"`
		Node     string       `json:"node"`
		State    string       `json:"state"`
		JoinedAt time.Time    `json:"joined_at"`
		Tracks   []room.Track `json:"tracks"`
	} `json:"peers"`
}

// addPublisher writes the record of a live publisher and returns it.
func (s *site) addPublisher(rm, fullID string, joined time.Time, tracks ...room.Track) room.Publisher {
	s.t.Helper()
	id, err := room.ParseFullID(fullID)
	if err != nil {
		s.t.Fatal(err)
	}
	inc, err := s.store.NextInc(s.t.Context(), roomtest.Name(s.t, rm))
	if err != nil {
		s.t.Fatal(err)
	}
	p := room.Publisher{
		FullID: id, Session: "SECRET-session", Owner: room.Owner{Node: "node1", Instance: "SECRET-instance", Epoch: 7}, Inc: inc,
		JoinedAt: joined, Tracks: tracks,
	}
	if _, err := s.store.GoLive(s.t.Context(), roomtest.Name(s.t, rm), p); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// addSubscriber writes the record of a subscriber.
func (s *site) addSubscriber(rm, fullID, session string, joined time.Time) {
	s.t.Helper()
	id, err := room.ParseFullID(fullID)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.store.AddSubscriber(s.t.Context(), roomtest.Name(s.t, rm), room.Subscriber{
		FullID: id, Session: session, Owner: room.Owner{Node: "node2", Instance: "SECRET-instance", Epoch: 7}, JoinedAt: joined,
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestList(t *testing.T) {
	s := newSite(t, testkit.Redis(t), nil)
	for _, role := range []string{"pub", "sub"} {
		s.do("GET", "/list/"+role+"/lobby", "").wantText(t, "")
		if got := s.do("GET", "/list/"+role+"/lobby", "", wantJSON); got.body != `{"room":"lobby","role":"`+role+`","peers":[]}` {
			t.Fatalf("empty room: %s", got.body)
		}
	}

	joined := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	video := room.Track{ID: "video0", Kind: "video", Codec: "video/VP8", Clock: 90000, Layers: []string{"h", "l"}}
	s.addPublisher("lobby", "alice+tab1", joined, video)
	s.addPublisher("lobby", "alice-screen", joined.Add(time.Second))
	away := s.addPublisher("lobby", "bob", joined.Add(2*time.Second))
	s.addPublisher("elsewhere", "carol", joined)
	if _, err := s.store.MarkAway(t.Context(), roomtest.Name(t, "lobby"), away.FullID, away.Inc); err != nil {
		t.Fatal(err)
	}
	s.addSubscriber("lobby", "alice", "SECRET-1", joined)
	s.addSubscriber("lobby", "alice", "SECRET-2", joined.Add(time.Second))

	s.do("GET", "/list/pub/lobby", "").wantText(t, "alice+tab1,alice-screen")
	s.do("GET", "/list/sub/lobby", "", "Accept: */*").wantText(t, "alice,alice")
	if got := s.do("HEAD", "/list/pub/lobby", ""); got.status != http.StatusOK || got.body != "" {
		t.Errorf("HEAD: %+v", got)
	}

	var got listedJSON
	s.do("GET", "/list/pub/lobby", "", wantJSON).decode(t, &got)
	if got.Room != "lobby" || got.Role != "pub" || len(got.Peers) != 3 {
		t.Fatalf("got %+v", got)
	}
	if p := got.Peers[0]; p.ID != "alice" || p.FullID != "alice+tab1" || p.Node != "node1" || p.State != "live" || !p.JoinedAt.Equal(joined) ||
		len(p.Tracks) != 1 || p.Tracks[0].ID != video.ID || p.Tracks[0].Codec != video.Codec || !slices.Equal(p.Tracks[0].Layers, video.Layers) {
		t.Errorf("got %+v", p)
	}
	if p := got.Peers[1]; p.ID != "alice" || p.FullID != "alice-screen" || p.Tracks == nil {
		t.Errorf("got %+v", p)
	}
	if p := got.Peers[2]; p.ID != "bob" || p.State != "away" {
		t.Errorf("got %+v", p)
	}
	got = listedJSON{}
	s.do("GET", "/list/sub/lobby", "", wantJSON).decode(t, &got)
	if len(got.Peers) != 2 || got.Peers[1].FullID != "alice" || got.Peers[1].State != "live" || got.Peers[1].Node != "node2" || got.Peers[1].Tracks == nil {
		t.Fatalf("got %+v", got)
	}
	for _, role := range []string{"pub", "sub"} {
		if body := s.do("GET", "/list/"+role+"/lobby", "", wantJSON).body; strings.Contains(body, "SECRET") {
			t.Errorf("secrets of nodes are told: %s", body)
		}
	}
}

func TestRooms(t *testing.T) {
	s := newSite(t, testkit.Redis(t), nil)
	type counted struct {
		Room        string `json:"room"`
		Publishers  int    `json:"publishers"`
		Subscribers int    `json:"subscribers"`
	}
	var page struct {
		Rooms []counted `json:"rooms"`
		Next  *string   `json:"next"`
	}
	const n = 7
	var want []string
	for i := range n {
		rm := fmt.Sprintf("room%d", i)
		s.addPublisher(rm, "alice", time.Now())
		want = append(want, rm)
	}
	s.addSubscriber("room3", "bob", "s1", time.Now())
	s.addSubscriber("room3", "carol", "s2", time.Now())

	s.do("GET", "/rooms", "", wantJSON).decode(t, &page)
	if len(page.Rooms) != n || page.Next != nil {
		t.Fatalf("got %+v", page)
	}
	i := slices.IndexFunc(page.Rooms, func(c counted) bool { return c.Room == "room3" })
	if i < 0 || page.Rooms[i] != (counted{"room3", 1, 2}) {
		t.Errorf("got %+v", page.Rooms)
	}

	var got []string
	after, pages := "", 0
	for {
		page.Rooms, page.Next = nil, nil
		s.do("GET", "/rooms?limit=3&after="+after, "").decode(t, &page)
		if pages++; len(page.Rooms) > 3 || pages > n {
			t.Fatalf("page %d: %+v", pages, page)
		}
		for _, c := range page.Rooms {
			got = append(got, c.Room)
		}
		if page.Next == nil {
			break
		}
		after = *page.Next
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the pages hold %v, want %v", got, want)
	}
}

func TestKick(t *testing.T) {
	s := newSite(t, testkit.Redis(t), nil)
	ctx := t.Context()
	lobby, alice, bob := roomtest.Name(t, "lobby"), roomtest.ID(t, "alice"), roomtest.ID(t, "bob")
	for _, path := range []string{"/pub/lobby/alice", "/pub/lobby/alice+tab2", "/pub/lobby/alice-screen", "/pub/lobby/alice%2Btab2"} {
		for _, id := range []room.ID{alice, bob} {
			if _, err := s.tokens.SetToken(ctx, lobby, room.Pub, id, "secret", auth.Grant{}, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.tokens.SetToken(ctx, lobby, room.Sub, alice, "secret", auth.Grant{}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if got := s.do("DELETE", path, ""); got.status != http.StatusNoContent || got.body != "" {
			t.Fatalf("%s: %+v", path, got)
		}
		if _, err := s.tokens.CheckToken(ctx, lobby, room.Pub, alice, "secret"); err == nil {
			t.Errorf("%s: the token still opens", path)
		}
		_, sub := s.tokens.CheckToken(ctx, lobby, room.Sub, alice, "secret")
		_, other := s.tokens.CheckToken(ctx, lobby, room.Pub, bob, "secret")
		if sub != nil || other != nil {
			t.Errorf("%s: another role's or person's token is gone, too", path)
		}
	}
	if got := s.do("DELETE", "/sub/lobby/nobody", ""); got.status != http.StatusNoContent {
		t.Errorf("somebody who is not there: %+v", got)
	}
}

// Whatever is sent to create, the answer is a request within its limits or a refusal for the client.
func FuzzParseCreate(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `null`, `[]`, `{"room":"a","id":"b"}`, `{"room":"lobby","id":"alice+tab-screen","token":"x y","ttl_seconds":2592000,"role":"pub"}`,
		`{"room":"a","room":"b","id":"c"}`, `{"room":"\u0000","id":"\ud800"}`, `{"room":{},"id":1}`, `{"ttl_seconds":1e3,"room":"a","id":"b"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := parseCreate(body)
		if err != nil {
			if e := apierr.From(err); e.Status() != http.StatusBadRequest || e.Detail == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		if _, err := room.ParseName(req.room.String()); err != nil {
			t.Fatal(err)
		}
		if id, err := room.ParseID(req.id.String()); err != nil || id != req.id {
			t.Fatalf("%v: %v", req.id, err)
		}
		if req.ttl < time.Second || req.ttl > 30*24*time.Hour || len(req.token) > 4096 || strings.ContainsAny(req.token, "\r\n\x00") {
			t.Fatalf("got %+v", req)
		}
	})
}
