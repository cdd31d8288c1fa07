package negotiation

import "testing"

func TestRounds(t *testing.T) {
	t.Parallel()
	type step struct {
		name string
		do   func(*State) Step
		want Step
	}
	changed := func(want Step) step {
		return step{"changed", func(s *State) Step { s.Changed(); return s.Next() }, want}
	}
	noted := step{"changed, more to come", func(s *State) Step { s.Changed(); return Rest }, Rest}
	told := step{"told", func(s *State) Step { s.Told(); return s.Next() }, Rest}
	next := func(want Step) step { return step{"next", (*State).Next, want} }
	opened := func(want Step) step { return step{"opened", (*State).Opened, want} }
	answer := func(want Step) step {
		return step{"answer", func(s *State) Step { return s.Answer(true, true) }, want}
	}
	misfit := func(want Step) step {
		return step{"misfit", func(s *State) Step { return s.Answer(true, false) }, want}
	}
	old := func(want Step) step {
		return step{"old", func(s *State) Step { return s.Answer(false, true) }, want}
	}
	answered := func(want Step) step { return step{"answered", (*State).Answered, want} }
	overdue := func(want Step) step { return step{"overdue", (*State).Overdue, want} }
	restart := func(want Step) step {
		return step{"restart", func(s *State) Step {
			if s.Waiting() {
				s.ClosedByRestart()
			}
			return s.Next()
		}, want}
	}
	for name, steps := range map[string][]step{
		"a change before the channel is there waits for it": {changed(Rest), opened(Offer)},
		"the answer to the POST told it all":                {noted, told, opened(Rest), changed(Offer)},
		"several changes of a moment are one round":         {opened(Rest), noted, noted, next(Offer), next(Rest)},
		"nothing to say":                    {opened(Rest), overdue(Rest)},
		"one round":                         {opened(Rest), changed(Offer), answer(Apply), answered(Rest)},
		"changes are gathered":              {opened(Rest), changed(Offer), changed(Rest), changed(Rest), answer(Apply), answered(Offer), answer(Apply), answered(Rest)},
		"an uncalled-for answer":            {opened(Rest), answer(Discard)},
		"no answer in time":                 {opened(Rest), changed(Offer), overdue(Fail)},
		"a restart between rounds":          {opened(Rest), restart(Rest), changed(Offer)},
		"a misfit is the client's right":    {opened(Rest), changed(Offer), misfit(Apply)},
		"a restart closes the round":        {opened(Rest), changed(Offer), restart(Offer), answer(Apply), answered(Rest)},
		"its answer comes late and differs": {opened(Rest), changed(Offer), restart(Offer), misfit(Discard), answer(Apply), answered(Rest)},
		"its answer comes late and is good": {opened(Rest), changed(Offer), restart(Offer), answer(Apply), answered(Rest), answer(Discard)},
		"its answer is from before it":      {opened(Rest), changed(Offer), restart(Offer), old(Discard), misfit(Apply)},
		"two restarts, two late answers":    {opened(Rest), changed(Offer), restart(Offer), restart(Offer), misfit(Discard), misfit(Discard), answer(Apply), answered(Rest)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var state State
			for i, s := range steps {
				if got := s.do(&state); got != s.want {
					t.Fatalf("step %d, %s: %d, want %d", i, s.name, got, s.want)
				}
			}
		})
	}
}
