package announce

import (
	"strings"
	"testing"

	"weever/mediad/internal/control"
	"weever/shared/room"
)

func full(t *testing.T, s string) room.FullID {
	t.Helper()
	id, err := room.ParseFullID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// words are the messages' first two words.
func words(t *testing.T, messages []control.Message) string {
	t.Helper()
	var out []string
	for _, m := range messages {
		text, err := control.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(text)
		out = append(out, strings.Join(fields[:min(2, len(fields))], " "))
	}
	return strings.Join(out, ", ")
}

func TestWhatAClientIsTold(t *testing.T) {
	t.Parallel()
	one := []room.Track{{ID: "audio0", Kind: "audio", Codec: "audio/opus"}}
	two := append([]room.Track{{ID: "video0", Kind: "video", Codec: "video/VP8", Layers: []string{"h", "l"}}}, one...)
	recoded := []room.Track{{ID: "audio0", Kind: "audio", Codec: "audio/PCMU"}}
	for name, steps := range map[string][]struct {
		state  room.State // of alice; empty: she is not there
		tracks []room.Track
		want   string
	}{
		"she comes and goes":                   {{room.Live, one, "PUB_JOIN alice, TRACKS alice"}, {"", nil, "PUB_LEFT alice"}},
		"nothing new":                          {{room.Live, two, "PUB_JOIN alice, TRACKS alice"}, {room.Live, two, ""}},
		"she is away when the viewer comes":    {{room.Away, one, "PUB_JOIN alice, PUB_AWAY alice, TRACKS alice"}, {room.Away, one, ""}},
		"away and back":                        {{room.Live, one, "PUB_JOIN alice, TRACKS alice"}, {room.Away, one, "PUB_AWAY alice"}, {room.Live, one, "PUB_JOIN alice"}},
		"another track":                        {{room.Live, one, "PUB_JOIN alice, TRACKS alice"}, {room.Live, two, "TRACKS alice"}},
		"another codec":                        {{room.Live, one, "PUB_JOIN alice, TRACKS alice"}, {room.Live, recoded, "TRACKS alice"}},
		"she left while away, and comes again": {{room.Away, one, "PUB_JOIN alice, PUB_AWAY alice, TRACKS alice"}, {"", nil, "PUB_LEFT alice"}, {room.Live, one, "PUB_JOIN alice, TRACKS alice"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := New()
			for i, s := range steps {
				var pubs []room.Publisher
				if s.state != "" {
					pubs = append(pubs, room.Publisher{FullID: full(t, "alice"), State: s.state, Tracks: s.tracks})
				}
				messages, left := l.Update(pubs)
				if got := words(t, messages); got != s.want {
					t.Errorf("step %d: %q, want %q", i, got, s.want)
				}
				if (len(left) == 1) != strings.Contains(s.want, "PUB_LEFT") {
					t.Errorf("step %d: %v left", i, left)
				}
			}
		})
	}
}

// Why a track is missing is said once, and again when its publisher has been away for good.
func TestNotesAreSaidOnce(t *testing.T) {
	t.Parallel()
	l := New()
	alice := full(t, "alice")
	pubs := []room.Publisher{{FullID: alice, State: room.Live}}
	note := func(id string) bool { return l.Note(alice, id, "video/AV1", "why") != nil }
	l.Update(pubs)
	if !note("video0") || note("video0") || !note("video1") {
		t.Error("not once for each track")
	}
	l.Update(nil)
	l.Update(pubs)
	if !note("video0") {
		t.Error("not said again")
	}
}
