package session

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

func TestNegotiation(t *testing.T) {
	t.Parallel()
	type step struct {
		name string
		do   func(*negotiation) round
		want round
	}
	changed := func(want round) step { return step{"changed", (*negotiation).changed, want} }
	opened := func(want round) step { return step{"opened", (*negotiation).opened, want} }
	answer := func(want round) step {
		return step{"answer", func(n *negotiation) round { return n.answer(true, true) }, want}
	}
	misfit := func(want round) step {
		return step{"misfit", func(n *negotiation) round { return n.answer(true, false) }, want}
	}
	old := func(want round) step {
		return step{"old", func(n *negotiation) round { return n.answer(false, true) }, want}
	}
	answered := func(want round) step { return step{"answered", (*negotiation).answered, want} }
	overdue := func(want round) step { return step{"overdue", (*negotiation).overdue, want} }
	restart := func(want round) step {
		return step{"restart", func(n *negotiation) round {
			if n.waiting {
				n.closedByRestart()
			}
			return n.restarted()
		}, want}
	}
	for name, steps := range map[string][]step{
		"a change before the channel is there waits for it": {changed(rest), opened(offer)},
		"nothing to say":                    {opened(rest), overdue(rest)},
		"one round":                         {opened(rest), changed(offer), answer(apply), answered(rest)},
		"changes are gathered":              {opened(rest), changed(offer), changed(rest), changed(rest), answer(apply), answered(offer), answer(apply), answered(rest)},
		"an uncalled-for answer":            {opened(rest), answer(discard)},
		"no answer in time":                 {opened(rest), changed(offer), overdue(fail)},
		"a restart between rounds":          {opened(rest), restart(rest), changed(offer)},
		"a misfit is the client's right":    {opened(rest), changed(offer), misfit(apply)},
		"a restart closes the round":        {opened(rest), changed(offer), restart(offer), answer(apply), answered(rest)},
		"its answer comes late and differs": {opened(rest), changed(offer), restart(offer), misfit(discard), answer(apply), answered(rest)},
		"its answer comes late and is good": {opened(rest), changed(offer), restart(offer), answer(apply), answered(rest), answer(discard)},
		"its answer is from before it":      {opened(rest), changed(offer), restart(offer), old(discard), misfit(apply)},
		"two restarts, two late answers":    {opened(rest), changed(offer), restart(offer), restart(offer), misfit(discard), misfit(discard), answer(apply), answered(rest)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n negotiation
			for i, s := range steps {
				if got := s.do(&n); got != s.want {
					t.Fatalf("step %d, %s: %d, want %d", i, s.name, got, s.want)
				}
			}
		})
	}
}
