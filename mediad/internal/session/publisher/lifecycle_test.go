package publisher

import "testing"

func TestPublisherLife(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		steps []happening
		end   stage
		deeds []deed
	}{
		{"comes and goes", []happening{started, ended}, left, []deed{goLive, remove}},
		{"never connects", []happening{expired}, left, []deed{nothing}},
		{"given up while pending: nothing was recorded", []happening{ended}, left, []deed{nothing}},
		{"silence counts only once live", []happening{silent, heard, started}, live, []deed{nothing, nothing, goLive}},
		{"silent, then heard again", []happening{started, silent, heard}, live, []deed{goLive, markAway, markLive}},
		{"silent for good", []happening{started, silent, expired}, left, []deed{goLive, markAway, remove}},
		{"overtaken: the record is another's", []happening{started, overtaken}, left, []deed{goLive, nothing}},
		{"overtaken while away", []happening{started, silent, overtaken}, left, []deed{goLive, markAway, nothing}},
		{"overtaken before it was live", []happening{overtaken, started}, left, []deed{nothing, nothing}},
		{"the pending deadline means nothing to a live one", []happening{started, expired}, live, []deed{goLive, nothing}},
		{"stopped while away", []happening{started, silent, ended}, left, []deed{goLive, markAway, remove}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := pending
			for i, h := range c.steps {
				var do deed
				if s, do = advance(s, h); do != c.deeds[i] {
					t.Errorf("step %d: deed %d, want %d", i, do, c.deeds[i])
				}
			}
			if s != c.end {
				t.Errorf("ended %v, want %v", s, c.end)
			}
		})
	}
}

// Left is the end: no happening leads out of it.
func TestPublisherStaysLeft(t *testing.T) {
	t.Parallel()
	for h := range happenCount {
		if s, do := advance(left, h); s != left || do != nothing {
			t.Errorf("happening %d leads from left to %v with deed %d", h, s, do)
		}
	}
}
