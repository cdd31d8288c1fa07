package congestion_test

import (
	"testing"
	"time"

	"weever/mediad/internal/fanout/congestion"
)

// steady plays so many seconds.
func steady(seconds float64) func(s *sender) { return func(s *sender) { s.until(seconds) } }

// TestStaysHigh: nothing that is not congestion may cost a viewer the best layer.
func TestStaysHigh(t *testing.T) {
	t.Parallel()
	scenarios := map[string]struct {
		way   way
		play  func(s *sender)
		share float64
	}{
		"wide":                      {way: way{rate: 2e6}},
		"far away":                  {way: way{rate: 2e6, delay: ms(150)}},
		"2 % lost":                  {way: way{rate: 2e6, loss: 0.02}},
		"5 % lost":                  {way: way{rate: 2e6, loss: 0.05}},
		"jitter 10 ms":              {way: way{rate: 2e6, jitter: ms(10)}},
		"jitter 10 ms, no overtake": {way: way{rate: 2e6, jitter: ms(10), ordered: true}},
		"jitter 30 ms":              {way: way{rate: 4e6, jitter: ms(30)}, share: 0.90},
		"20 % of the reports lost":  {way: way{rate: 2e6, lossBack: 0.2}},
		"stands still now and then": {way: way{rate: 20e6}, play: func(s *sender) {
			for at := 5.0; at < 60; at += 5 {
				s.until(at)
				s.net.free = s.now.Add(ms(200))
			}
		}},
	}
	for name, sc := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if sc.play == nil {
				sc.play = steady(60)
			}
			if sc.share == 0 {
				sc.share = 0.95
			}
			both(t, setup{way: sc.way, videos: 1}, sc.play, func(t *testing.T, s *sender) {
				t.Helper()
				if got := s.share("high", 0, s.elapsed()); got < sc.share {
					t.Errorf("high for %.2f of the time", got)
				}
			})
		})
	}
}

// TestFollowsTheLink: 2 Mbit/s, 700 kbit/s, 250 kbit/s and 2 Mbit/s again.
func TestFollowsTheLink(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 2e6}, videos: 1}, func(s *sender) {
		s.until(20)
		s.net.rate = 7e5
		s.until(60)
		s.net.rate = 2.5e5
		s.until(90)
		s.net.rate = 2e6
		s.until(180)
	}, func(t *testing.T, s *sender) {
		t.Helper()
		if at := s.since("high", 0, 10); at < 0 || at > 1 {
			t.Errorf("high after %.1f s", at)
		}
		if at := s.since("mid", 20, 22); at < 0 || at > 1 {
			t.Errorf("mid %.1f s after there was room for no more", at)
		}
		if got := s.share("mid", 22, 60); got < 0.9 {
			t.Errorf("mid for %.2f of the time when there is room for it", got)
		}
		if at := s.since("low", 60, 63); at < 0 || at > 2 {
			t.Errorf("low %.1f s after there was room for no more", at)
		}
		if got := s.share("low", 63, 90); got < 0.9 {
			t.Errorf("low for %.2f of the time when there is room for no more", got)
		}
		if at := s.since("high", 90, 180); at < 0 || at > 75 { // the longest hold, and the way over mid
			t.Errorf("high again after %.1f s", at)
		}
	})
}

// TestQueue: when the link shrinks by two thirds, what stands in the queue stays below two seconds, and is gone soon.
func TestQueue(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 2e6, limit: 10 * time.Second}, videos: 1}, func(s *sender) {
		s.until(20)
		s.net.longest = 0
		s.net.rate = 7e5
		s.until(28)
	}, func(t *testing.T, s *sender) {
		t.Helper()
		if s.net.longest > ms(1300) {
			t.Errorf("a queue of %v", s.net.longest)
		}
		if now := s.net.queue(); now > ms(100) {
			t.Errorf("a queue of %v after 8 s", now)
		}
	})
}

// TestNarrowFromTheStart: the first key frame tells.
func TestNarrowFromTheStart(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 7e5}, videos: 1}, steady(60), func(t *testing.T, s *sender) {
		t.Helper()
		if at := s.since("mid", 0, 4); at < 0 || at > 1.5 {
			t.Errorf("mid after %.1f s", at)
		}
		if got := s.share("mid", 2, 60); got < 0.9 {
			t.Errorf("mid for %.2f of the time", got)
		}
	})
}

// TestTrialsBecomeRare: a layer that the link does not carry is tried again, but ever less often.
func TestTrialsBecomeRare(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 7e5}, videos: 1, start: 300_000}, steady(300), func(t *testing.T, s *sender) {
		t.Helper()
		trials := 0
		for _, c := range s.videos[0].choices {
			if c.layer == "high" {
				trials++
			}
		}
		if trials < 4 || trials > 8 {
			t.Errorf("%d trials in 5 minutes", trials)
		}
		if got := s.share("high", 0, 300); got > 0.05 {
			t.Errorf("high for %.2f of the time", got)
		}
		if got := s.share("low", 15, 300); got > 0.1 {
			t.Errorf("low for %.2f of the time, though there is room for mid", got)
		}
	})
}

// TestBorderline: a link that carries the best layer most of the time makes no see-saw.
func TestBorderline(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 1.65e6}, videos: 1}, steady(300), func(t *testing.T, s *sender) {
		t.Helper()
		if n := s.switches(); n > 24 {
			t.Errorf("%d switches in 5 minutes", n)
		}
	})
}

// TestClimbs: from the least layer to the best by trials.
func TestClimbs(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 3e6}, videos: 1, start: 200_000}, steady(30), func(t *testing.T, s *sender) {
		t.Helper()
		if at := s.since("high", 0, 30); at < 0 || at > 12 {
			t.Errorf("high after %.1f s", at)
		}
		if n := s.switches(); n != 3 {
			t.Errorf("%d switches", n)
		}
	})
}

// TestCompetingBurst: others fill the link for three seconds.
func TestCompetingBurst(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 2e6}, videos: 1}, func(s *sender) {
		s.until(20)
		s.cross = 1.5e6
		s.until(23)
		s.cross = 0
		s.until(60)
	}, func(t *testing.T, s *sender) {
		t.Helper()
		if s.net.longest > time.Second {
			t.Errorf("a queue of %v", s.net.longest)
		}
		if at := s.since("high", 23, 60); at < 3 || at > 14 {
			t.Errorf("high %.1f s after they stopped", at)
		}
	})
}

// TestReportsLostOnANarrowLink: with a fifth of the reports missing the link is still understood.
func TestReportsLostOnANarrowLink(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 7e5, lossBack: 0.2}, videos: 1, start: 300_000}, steady(120), func(t *testing.T, s *sender) {
		t.Helper()
		if got := s.share("mid", 15, 120); got < 0.8 {
			t.Errorf("mid for %.2f of the time", got)
		}
	})
}

// TestShortQueue: where a router keeps no queue worth the name, losses tell.
func TestShortQueue(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 2e6, limit: ms(100)}, videos: 1}, func(s *sender) {
		s.until(20)
		s.net.rate = 7e5
		s.until(60)
	}, func(t *testing.T, s *sender) {
		t.Helper()
		if got := s.share("high", 22, 60); got > 0.1 {
			t.Errorf("high for %.2f of the time", got)
		}
		if got := s.share("mid", 22, 60); got < 0.5 {
			t.Errorf("mid for %.2f of the time", got)
		}
	})
}

// TestDead: nothing passes for five seconds.
func TestDead(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 2e6}, videos: 1}, func(s *sender) {
		s.until(20)
		s.net.dead = true
		s.until(24.9)
		s.seen = s.seen[len(s.seen)-1:]
		s.net.dead = false
		s.until(60)
	}, func(t *testing.T, s *sender) {
		t.Helper()
		if s.seen[0].State != congestion.Blind || s.seen[0].Rate > 1_000_000 {
			t.Errorf("after five seconds: %+v", s.seen[0])
		}
		if at := s.since("high", 25, 60); at < 3 || at > 14 {
			t.Errorf("high %.1f s after the end", at)
		}
	})
}

// TestSoundOnly: a viewer of sound alone, which says little of its link.
func TestSoundOnly(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 100_000, jitter: ms(10), loss: 0.02}, start: 100_000}, func(s *sender) {
		s.until(60)
		s.sound = 0.05 // it has nearly nothing to say
		s.until(90)
		s.sound = 1
		s.until(120)
	}, func(t *testing.T, s *sender) {
		t.Helper()
		if n := s.in(congestion.Congested) + s.in(congestion.Blind); n > len(s.seen)/100 {
			t.Errorf("trouble in %d of %d readings", n, len(s.seen))
		}
		for i, r := range s.seen {
			if r.Rate < 50_000 || r.Rate > 150_000 {
				t.Fatalf("reading %d: %+v", i, r)
			}
		}
	})
}

// TestLimitedByTheSender: a rate that nobody has tried is not believed in, and one that was is not forgotten.
func TestLimitedByTheSender(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 50e6}, videos: 1, start: 200_000}, func(s *sender) {
		s.videos[0].most = "low"
		s.until(60)
		s.videos[0].most = "high"
		s.until(90)
		s.videos[0].most = "low"
		s.until(150)
	}, func(t *testing.T, s *sender) {
		t.Helper()
		for i, r := range s.seen[:600] {
			if r.Rate > 450_000 { // 1.5 times what is sent, and 50 kbit/s
				t.Fatalf("reading %d: %+v", i, r)
			}
		}
		if last := s.seen[len(s.seen)-1]; last.Rate < 1_500_000 || last.Rate > 4_000_000 {
			t.Errorf("at the end: %+v", last)
		}
	})
}

// TestManyVideos: what there is, is shared.
func TestManyVideos(t *testing.T) {
	t.Parallel()
	t.Run("wide", func(t *testing.T) {
		t.Parallel()
		both(t, setup{way: way{rate: 20e6}, videos: 8}, steady(30), func(t *testing.T, s *sender) {
			t.Helper()
			if got := s.share("high", 15, 30); got < 1 {
				t.Errorf("high for %.2f of the time", got)
			}
		})
	})
	t.Run("narrow", func(t *testing.T) {
		t.Parallel()
		both(t, setup{way: way{rate: 3e6}, videos: 8}, steady(60), func(t *testing.T, s *sender) {
			t.Helper()
			if high, mid := s.share("high", 0, 60), s.share("mid", 0, 60); high > 0.02 || mid < 0.3 || mid > 0.6 {
				t.Errorf("high for %.2f, mid for %.2f of the time", high, mid)
			}
			if s.net.longest > time.Second {
				t.Errorf("a queue of %v", s.net.longest)
			}
		})
	})
}

// TestNumbersWrap: the sequence numbers go round, and so has the reference time of the reports.
func TestNumbersWrap(t *testing.T) {
	t.Parallel()
	both(t, setup{way: way{rate: 10e6}, videos: 4}, steady(110), func(t *testing.T, s *sender) {
		t.Helper()
		if s.sent < 1<<16+10_000 {
			t.Errorf("only %d packets", s.sent)
		}
		s.seen = s.seen[20:]
		if n := len(s.seen) - s.in(congestion.Steady) - s.in(congestion.Draining); n > 0 || s.share("high", 15, 110) < 1 {
			t.Errorf("trouble in %d readings, high for %.2f of the time", n, s.share("high", 15, 110))
		}
	})
}
