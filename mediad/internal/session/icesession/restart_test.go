package icesession

import (
	"context"
	"errors"
	"strings"
	"testing"

	"weever/mediad/internal/sdpfrag"
	"weever/shared/apierr"
)

// serve makes the restarts of s until the test ends, and counts them.
func serve(t testing.TB, s *Session) (made func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		n := 0
		for {
			select {
			case r := <-s.Restarts():
				r.Serve(func(f sdpfrag.Fragment) (string, error) {
					n++
					return s.ReplayOffer(f)
				})
			case <-ctx.Done():
				done <- n
				return
			}
		}
	}()
	stopped := false
	made = func() int {
		cancel()
		stopped = true
		return <-done
	}
	t.Cleanup(func() {
		if !stopped {
			made()
		}
	})
	return made
}

func fragment(t testing.TB, ufrag string, candidates ...string) sdpfrag.Fragment {
	t.Helper()
	body := "a=ice-ufrag:" + ufrag + "\r\na=ice-pwd:0123456789012345678901\r\n"
	for _, c := range candidates {
		body += "a=candidate:" + c + " 1 udp 2122260223 192.0.2.1 1000 typ host\r\n"
	}
	f, err := sdpfrag.Parse([]byte(body), "")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A client whose reply to a restart was lost repeats the restart and gets the reply again; trickle is not taken for that.
func TestARepeatedRestartIsAnsweredAgain(t *testing.T) {
	_, s := answered(t)
	made := serve(t, s)
	first := s.Settle()
	second := fragment(t, "second", "1")
	patch := func(f sdpfrag.Fragment, match string) (sdpfrag.Fragment, error) {
		return s.Patch(t.Context(), Request{Fragment: f, IfMatch: match})
	}
	reply, err := patch(second, `"`+first+`"`)
	if err != nil || reply.Ufrag == "" || reply.Ufrag == first {
		t.Fatalf("restart: %+v %v", reply, err)
	}
	other := second
	other.Pwd = strings.Repeat("x", 22)
	bare := second
	bare.Pwd = ""
	for name, c := range map[string]struct {
		frag  sdpfrag.Fragment
		match string
		again bool
	}{
		"the same, without If-Match":        {second, "", true},
		"the same, with an asterisk":        {second, "*", true},
		"the same, with a quoted one":       {second, `"*"`, true},
		"more candidates, with an asterisk": {fragment(t, "second", "1", "2"), "*", false},
		"more candidates, without If-Match": {fragment(t, "second", "1", "3"), "", false},
		"no candidates, without If-Match":   {fragment(t, "second"), "", false},
		"the same, with the present tag":    {second, `"` + reply.Ufrag + `"`, false},
		"another password":                  {other, "*", false},
		"no password":                       {bare, "*", false},
		"a candidate alone":                 {sdpfrag.Fragment{Candidates: second.Candidates}, "*", false},
	} {
		got, err := patch(c.frag, c.match)
		if err != nil || (got.String() == reply.String()) != c.again || (got.Ufrag == "") == c.again {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if _, err := patch(second, `"`+first+`"`); apierr.From(err).Code != apierr.Precondition {
		t.Errorf("the same, with the tag of before: %v", err)
	}
	if again, err := patch(fragment(t, "third"), "*"); err != nil || again.Ufrag == reply.Ufrag {
		t.Fatalf("another restart: %+v %v", again, err)
	}
	if got, err := patch(second, ""); err != nil || got.Ufrag != "" {
		t.Errorf("the one before last: %+v %v", got, err)
	}
	if n := made(); n != 2 {
		t.Errorf("%d restarts were made", n)
	}
}

// Trickle of the first generation, which no restart began, stays trickle whatever its If-Match.
func TestTheFirstGenerationHasNoRestartToRepeat(t *testing.T) {
	pc, s := answered(t)
	made := serve(t, s)
	frag, err := sdpfrag.FromSDP(pc.RemoteDescription().SDP)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range []string{"", "*", `"*"`, `"` + s.Settle() + `"`} {
		if got, err := s.Patch(t.Context(), Request{Fragment: frag, IfMatch: match}); err != nil || got.Ufrag != "" {
			t.Errorf("If-Match %q: %+v %v", match, got, err)
		}
	}
	if n := made(); n != 0 {
		t.Errorf("%d restarts were made", n)
	}
}

// A repetition that comes while the restart is still under way waits for it and gets its reply; there is one restart.
func TestARepetitionOvertakesNothing(t *testing.T) {
	_, s := answered(t)
	type outcome struct {
		frag sdpfrag.Fragment
		err  error
	}
	got := make(chan outcome, 2)
	for range 2 {
		go func() {
			f, err := s.Patch(t.Context(), Request{Fragment: fragment(t, "second"), IfMatch: "*"})
			got <- outcome{f, err}
		}()
	}
	calls := []*Restart{<-s.Restarts(), <-s.Restarts()} // both were judged before either was made
	made := 0
	for _, r := range calls {
		r.Serve(func(f sdpfrag.Fragment) (string, error) { made++; return s.ReplayOffer(f) })
	}
	a, b := <-got, <-got
	if err := errors.Join(a.err, b.err); err != nil || a.frag.Ufrag == "" || a.frag.String() != b.frag.String() || made != 1 {
		t.Errorf("%d restarts: %+v, %+v", made, a, b)
	}
}
