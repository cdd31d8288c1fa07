package control

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"weever/shared/room"
)

func full(t testing.TB, s string) room.FullID {
	t.Helper()
	id, err := room.ParseFullID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// samples has one message of each word and the sides that may say it.
func samples(t testing.TB) map[string]struct {
	from Side
	m    Message
} {
	alice, bob := full(t, "alice+tab1"), full(t, "bob-screen")
	type row = struct {
		from Side
		m    Message
	}
	return map[string]row{
		"SDP_OFFER v=0\r\ns=-\r\n":                  {FromClient | FromServer, SDPOffer{"v=0\r\ns=-\r\n"}},
		"SDP_ANSWER v=0\r\n":                        {FromClient | FromServer, SDPAnswer{"v=0\r\n"}},
		"PUB_JOIN alice+tab1":                       {FromServer, PubJoin{alice}},
		"PUB_LEFT alice+tab1":                       {FromServer, PubLeft{alice}},
		"PUB_AWAY bob-screen":                       {FromServer, PubAway{bob}},
		"TRACKS bob-screen []":                      {FromServer, Tracks{bob, []Track{}}},
		`SPEAKERS [{"id":"bob-screen","level":30}]`: {FromServer, Speakers{[]Speaker{{bob, 30}}}},
		`STATS {"rtt":3}`:                           {FromServer, Stats{json.RawMessage(`{"rtt":3}`)}},
		`SAID alice+tab1 "hi there"`:                {FromServer, Said{alice, json.RawMessage(`"hi there"`)}},
		"RECONNECT drain 300":                       {FromServer, Reconnect{"drain", 300}},
		"ERR LAYER the level is unknown":            {FromServer, Err{WordLayer, "the level is unknown"}},
		"OK":                                        {FromServer, OK{}},
		"PONG a b":                                  {FromServer, Pong{"a b"}},
		"PING":                                      {FromClient, Ping{""}},
		"PING 17":                                   {FromClient, Ping{"17"}},
		"STOP":                                      {FromClient, Stop{}},
		"SUB alice+tab1":                            {FromClient, Sub{alice, nil}},
		"SUB alice+tab1 video0 audio12":             {FromClient, Sub{alice, []string{"video0", "audio12"}}},
		"UNSUB alice+tab1 video0":                   {FromClient, Unsub{alice, []string{"video0"}}},
		"SUB_MODE manual":                           {FromClient, SubMode{ModeManual}},
		"LAYER alice+tab1 video0 low":               {FromClient, Layer{alice, "video0", LevelLow}},
		`SAY {"text":"hi"}`:                         {FromClient, Say{json.RawMessage(`{"text":"hi"}`)}},
		"HELLO world":                               {FromClient | FromServer, Unknown{"HELLO world"}},
		`TRACKS alice+tab1 [{"id":"video0","kind":"video","codec":"video/VP8","layers":["high","low"],"muted":true}]`: {FromServer, Tracks{alice, []Track{{"video0", "video", "video/VP8", []string{"high", "low"}, true}}}},
	}
}

func TestEveryWordBothWays(t *testing.T) {
	seen := map[Word]bool{}
	for text, row := range samples(t) {
		got, err := Encode(row.m)
		if err != nil || got != text {
			t.Errorf("Encode(%#v) = %q, %v; want %q", row.m, got, err, text)
		}
		for _, side := range []Side{FromClient, FromServer} {
			want := row.m
			if row.from&side == 0 {
				want = Unknown{text}
			}
			m, err := Parse(side, []byte(text))
			if err != nil || !reflect.DeepEqual(m, want) {
				t.Errorf("Parse(%d, %q) = %#v, %v; want %#v", side, text, m, err, want)
			}
		}
		seen[WordOf(row.m)] = true
	}
	for w := range words {
		if !seen[w] {
			t.Errorf("no sample of %s", w)
		}
	}
}

func TestLineEndsAreForgiven(t *testing.T) {
	for text, want := range map[string]Message{
		"STOP\r\n":                         Stop{},
		"STOP ":                            Stop{},
		"SUB  alice  video0\n":             Sub{full(t, "alice"), []string{"video0"}},
		"SUB_MODE auto\n":                  SubMode{ModeAuto},
		"LAYER alice video999 off\r\n":     Layer{full(t, "alice"), "video999", LevelOff},
		"stop":                             Unknown{"stop"},
		"":                                 Unknown{""},
		"PING " + strings.Repeat("x", 256): Ping{strings.Repeat("x", 256)},
	} {
		if m, err := Parse(FromClient, []byte(text)); err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("Parse(%q) = %#v, %v; want %#v", text, m, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		from Side
		text string
		word Word
	}{
		{FromClient, strings.Repeat("x", MaxMessage+1), wordMessage},
		{FromClient, "HELLO \xff", wordMessage},
		{FromClient, "SDP_ANSWER", WordSDPAnswer},
		{FromClient, "SDP_ANSWER ", WordSDPAnswer},
		{FromClient, "STOP now", WordStop},
		{FromClient, "SUB", WordSub},
		{FromClient, "SUB a.b", WordSub},
		{FromClient, "SUB alice video", WordSub},
		{FromClient, "SUB alice video1234", WordSub},
		{FromClient, "SUB alice video٣", WordSub},
		{FromClient, "SUB alice text0", WordSub},
		{FromClient, "SUB alice" + strings.Repeat(" video0", MaxTracks+1), WordSub},
		{FromClient, "SUB_MODE all", WordSubMode},
		{FromClient, "SUB_MODE", WordSubMode},
		{FromClient, "LAYER alice video0", WordLayer},
		{FromClient, "LAYER alice video0 best", WordLayer},
		{FromClient, "LAYER alice video low", WordLayer},
		{FromClient, "LAYER + video0 low", WordLayer},
		{FromClient, "SAY", WordSay},
		{FromClient, "SAY {", WordSay},
		{FromClient, "SAY {} {}", WordSay},
		{FromClient, `SAY "` + strings.Repeat("x", MaxSay) + `"`, WordSay},
		{FromClient, "PING " + strings.Repeat("x", MaxPing+1), WordPing},
		{FromServer, "PUB_JOIN", WordPubJoin},
		{FromServer, "PUB_JOIN alice bob", WordPubJoin},
		{FromServer, "PUB_LEFT a*", WordPubLeft},
		{FromServer, "TRACKS alice", WordTracks},
		{FromServer, "TRACKS a.b []", WordTracks},
		{FromServer, `TRACKS alice [{"kind":"video"}]`, WordTracks},
		{FromServer, `SPEAKERS [{"level":3}]`, WordSpeakers},
		{FromServer, `SPEAKERS [{"id":"a.b"}]`, WordSpeakers},
		{FromServer, "STATS {", WordStats},
		{FromServer, "SAID alice", WordSaid},
		{FromServer, "SAID a.b {}", WordSaid},
		{FromServer, "RECONNECT drain", WordReconnect},
		{FromServer, "RECONNECT drain -1", WordReconnect},
		{FromServer, "RECONNECT drain soon", WordReconnect},
		{FromServer, "RECONNECT Drain! 3", WordReconnect},
		{FromServer, "ERR", WordErr},
		{FromServer, "ERR SAY two\nlines", WordErr},
		{FromServer, "OK then", WordOK},
	} {
		m, err := Parse(c.from, []byte(c.text))
		var bad *Error
		if m != nil || !errors.As(err, &bad) || bad.Word != c.word {
			t.Errorf("Parse(%.40q) = %#v, %v; want an error about %s", c.text, m, err, c.word)
			continue
		}
		if _, err := Encode(bad.Reply()); err != nil {
			t.Errorf("%.40q: the reply cannot be sent: %v", c.text, err)
		}
	}
}

func TestEncodeRefusesWhatParseWould(t *testing.T) {
	alice := full(t, "alice")
	for _, m := range []Message{
		SDPOffer{},
		SDPAnswer{strings.Repeat("x", MaxMessage)},
		SDPOffer{"v=0\xff"},
		PubJoin{},
		PubLeft{},
		PubAway{},
		Said{room.FullID{}, json.RawMessage(`1`)},
		Said{alice, nil},
		Tracks{Pub: alice, Tracks: []Track{{ID: "x"}}},
		Tracks{Pub: alice, Tracks: make([]Track, MaxTracks+1)},
		Tracks{},
		Speakers{[]Speaker{{}}},
		Stats{},
		Reconnect{"", 3},
		Reconnect{"drain", -3},
		Err{"", "x"},
		Err{WordSay, "a\nb"},
		Pong{strings.Repeat("x", MaxPing+1)},
		Ping{strings.Repeat("x", MaxPing+1)},
		Sub{},
		Sub{alice, []string{"x"}},
		Unsub{alice, make([]string, MaxTracks+1)},
		SubMode{"x"},
		Layer{},
		Layer{alice, "video0", "x"},
		Layer{room.FullID{}, "video0", LevelLow},
		Say{},
		Say{json.RawMessage("{")},
	} {
		var bad *Error
		if text, err := Encode(m); !errors.As(err, &bad) || bad.Word != WordOf(m) || text != "" {
			t.Errorf("Encode(%.60q) = %.20q, %v; want an error about %s", m, text, err, WordOf(m))
		}
	}
	for m, want := range map[string]Message{"TRACKS alice []": Tracks{Pub: alice}, "SPEAKERS []": Speakers{}} {
		if got, err := Encode(want); got != m || err != nil {
			t.Errorf("Encode(%#v) = %q, %v", want, got, err)
		}
	}
}

// What is encoded once for many is what Encode gives, and nothing else passes for it.
func TestPrepare(t *testing.T) {
	said := Said{full(t, "alice+1"), json.RawMessage(`{"a": 1}`)}
	p, err := Prepare(said)
	if err != nil || WordOf(p) != WordSaid {
		t.Fatalf("prepared %q, %v", WordOf(p), err)
	}
	if text, err := Encode(p); err != nil || text != `SAID alice+1 {"a": 1}` {
		t.Errorf("encoded %q, %v", text, err)
	}
	spoilt, err := Prepare(Said{said.From, json.RawMessage("{")})
	if err == nil {
		t.Error("what cannot be encoded was prepared")
	}
	for _, m := range []Message{spoilt, Prepared{}} {
		if text, err := Encode(m); err == nil {
			t.Errorf("encoded %q", text)
		}
	}
}

// FuzzParse: whatever is accepted can be encoded, and that text is stable.
func FuzzParse(f *testing.F) {
	for text, row := range samples(f) {
		f.Add(uint8(row.from), []byte(text))
	}
	f.Add(uint8(FromClient), []byte("SUB + video0"))
	f.Add(uint8(FromClient), []byte("SAY [[[[[[[["))
	f.Add(uint8(FromServer), []byte("TRACKS a null"))
	f.Add(uint8(FromServer), []byte("RECONNECT x 99999999999999999999"))
	f.Add(uint8(FromServer), []byte{0xff, 0})
	f.Fuzz(func(t *testing.T, from uint8, data []byte) {
		side := FromClient
		if from&1 == 0 {
			side = FromServer
		}
		m, err := Parse(side, data)
		if err != nil {
			var bad *Error
			if m != nil || !errors.As(err, &bad) {
				t.Fatalf("Parse(%q) = %#v, %v", data, m, err)
			}
			if _, err := Encode(bad.Reply()); err != nil {
				t.Fatal(err)
			}
			return
		}
		text, err := Encode(m)
		if err != nil {
			if len(data) > MaxMessage/8 { // JSON is escaped when it is written anew, and so may outgrow the limit
				return
			}
			t.Fatalf("Encode(%#v): %v", m, err)
		}
		again, err := Parse(side, []byte(text))
		if err != nil {
			t.Fatalf("Parse(%q) after %q: %v", text, data, err)
		}
		if last, err := Encode(again); err != nil || last != text {
			t.Fatalf("%q became %q, then %q, %v", data, text, last, err)
		}
	})
}
