package storm

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
)

// keep writes a profile, for `go tool pprof`.
func keep(t *testing.T, file string, profile string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
}

var heapFile = flag.String("heap", "", "where TestSoak writes what is in the node's heap before and after, with .before and .after appended")

var soak = flag.Duration("soak", 6*time.Second, "for how long people come and go in TestSoak")

const (
	soakRooms   = 4
	soakWorkers = 12               // who come and go, one after the other each
	soakTick    = 30 * time.Second // between two lines of what the node uses
	allGone     = 45 * time.Second // until the node has noticed that somebody vanished, and forgotten her
	frayed      = 1 << 20          // bytes of pages of the heap that may be in use for less than they hold
	spare       = 1.05             // of what there was before anybody came
	settled     = 10 * time.Second // after which what was used for people is given back
)

// throng is the people of a soak.
type throng struct {
	*stage
	joined, refused, failed atomic.Int64
	left                    [numWays]atomic.Int64

	mu     sync.Mutex
	errors map[string]int
}

// way is how somebody leaves.
type way int

// The ways.
const (
	byDelete   way = iota // DELETE
	byGoodbye             // DTLS close_notify
	bySTOP                // on the control channel
	byVanish              // not one packet more
	neverThere            // a POST, and not one packet
	numWays
)

func (w way) String() string {
	return [numWays]string{"DELETE", "close_notify", "STOP", "vanished", "never connected"}[w]
}

// visitor comes, stays for a moment and leaves. Nobody vanishes where polite is said.
func (p *throng) visitor(ctx context.Context, rng *rand.Rand, n int, polite bool) {
	cfg := p.visit(fmt.Sprintf("room%d", rng.IntN(soakRooms)), fmt.Sprintf("person%d", n))
	how := way(rng.IntN(int(numWays)))
	if polite && how >= byVanish {
		how = byDelete
	}
	cfg.NoWait = how == neverThere
	stays := time.Duration(200+rng.IntN(1500)) * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	var session *client.Session
	var err error
	switch rng.IntN(5) {
	case 0: // a player, who has no control channel to say STOP on
		cfg.NoControl = true
		if how == bySTOP {
			how = byDelete
		}
		cfg.Query = url.Values{}
		var v *client.Subscriber
		if v, err = client.Subscribe(ctx, cfg, 1, 1); err == nil {
			session = v.Session
		}
	case 1, 2:
		var v *client.Subscriber
		if v, err = client.Subscribe(ctx, cfg, 2, 2); err == nil {
			session = v.Session
		}
	default:
		camera := client.Camera(synth.VP8, synth.Burst)
		camera.Packets = 2
		var v *client.Publisher
		if v, err = client.Publish(ctx, cfg, client.Microphone(), camera); err == nil {
			session = v.Session
		}
	}
	if err != nil {
		p.missed(err)
		return
	}
	p.joined.Add(1)
	p.left[how].Add(1)
	select {
	case <-time.After(stays):
	case <-session.Done():
	}
	leave(session, how)
}

// missed counts somebody who did not get in: nobody was live for her to watch, or something is wrong.
func (p *throng) missed(err error) {
	var status *client.StatusError
	if errors.As(err, &status) && status.Status == 409 {
		p.refused.Add(1)
		return
	}
	p.failed.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errors[err.Error()]++
}

func leave(s *client.Session, how way) {
	ctx, cancel := context.WithTimeout(context.Background(), joinLimit)
	defer cancel()
	switch how {
	case byDelete:
		_ = s.Close(ctx) // the server may have ended it: two of one name
	case bySTOP:
		_ = s.Stop(ctx)
	case byGoodbye:
		s.Hangup()
	default:
		s.Abandon()
	}
}

// comeAndGo lets people do so for a while.
func (p *throng) comeAndGo(lasts time.Duration, workers int, polite bool, seed uint64) {
	ctx, cancel := context.WithTimeout(p.Context(), lasts)
	defer cancel()
	var g errgroup.Group
	for i := range workers {
		g.Go(func() error {
			rng := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // small
			for n := i; ctx.Err() == nil; n += workers {
				p.visitor(context.WithoutCancel(ctx), rng, n%(3*workers), polite)
			}
			return nil
		})
	}
	_ = g.Wait()
}

// usage is what the node uses while nobody is there.
type usage struct {
	goroutines, live, heap, memory, files float64 // live: what is in the heap; heap: the pages in use for it
}

func usageOf(f figures) usage {
	return usage{f["go_goroutines"], f["go_memstats_heap_alloc_bytes"], f["go_memstats_heap_inuse_bytes"], f["process_resident_memory_bytes"], f["process_open_fds"]}
}

// within reports whether nothing is above a limit; what is resident is the kernel's affair, too.
func (u usage) within(limit usage) bool {
	return u.goroutines <= limit.goroutines && u.live <= limit.live && u.heap <= limit.heap && u.files <= limit.files
}

func (u usage) String() string {
	return fmt.Sprintf("%.0f goroutines, heap %.2f MB in %.2f MB, resident %.1f MB, %.0f files", u.goroutines, u.live/1e6, u.heap/1e6, u.memory/1e6, u.files)
}

// remains lists what the node still knows of people.
func remains(f figures) error {
	for _, name := range []string{
		"weever_sessions", "weever_publishers", "weever_viewers", "weever_rooms", "weever_streams", "weever_tracks_published", "weever_viewer_tracks",
		"weever_history_bytes", "weever_relay_leases",
	} {
		if n := f.sum(name); n != 0 {
			return fmt.Errorf("%s is %g: %s", name, n, f.named(name))
		}
	}
	return nil
}

// heap has the node collect its garbage, twice, for pools keep theirs once, and gives what is left, as text.
func (p *throng) heap() (profile string) {
	p.Helper()
	for range 2 {
		req, err := http.NewRequest(http.MethodGet, p.private("/debug/pprof/heap?gc=1&debug=1"), nil)
		if err != nil {
			p.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+adminToken)
		resp, err := p.http.Do(req)
		if err != nil {
			p.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			p.Fatalf("a profile of the heap: %s, %v", resp.Status, err)
		}
		profile = string(body)
	}
	return profile
}

// usage is what the node uses when its garbage has been collected.
func (p *throng) usage() usage {
	p.Helper()
	profile := p.heap()
	number := func(name string) float64 {
		_, text, _ := strings.Cut(profile, "\n# "+name+" = ")
		text, _, _ = strings.Cut(text, "\n")
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			p.Fatalf("%s of the heap: %v", name, err)
		}
		return n
	}
	u := usageOf(p.figures())
	u.live, u.heap = number("HeapAlloc"), number("HeapInuse")
	return u
}

// rest waits until the node has forgotten everybody, then a while for it to use no more than limit, and gives what it uses.
func (p *throng) rest(limit usage) (u usage) {
	p.Helper()
	p.http.CloseIdleConnections()
	await(p, "the node to forget everybody", allGone, func() error { return remains(p.figures()) })
	for late := time.Now().Add(settled); ; hold(settled / 20) {
		p.http.CloseIdleConnections()
		if u = p.usage(); u.within(limit) || time.Now().After(late) {
			return u
		}
	}
}

// People come and go for a long time, and many go without a word; when all have gone the node is as it was.
func TestSoak(t *testing.T) {
	p := &throng{stage: newStage(t, "--resume-window=2s"), errors: map[string]int{}}
	p.comeAndGo(4*time.Second, 4*soakWorkers, true, 1) // what is made once has been made, and as many were there at a time as there will be
	before := p.rest(usage{1e9, 1e9, 1e9, 1e9, 1e9})
	if *heapFile != "" {
		keep(t, *heapFile+".before", p.heap())
	}
	t.Logf("before: %v", before)
	old := p.figures()

	began := time.Now()
	over := make(chan struct{})
	go func() {
		defer close(over)
		p.comeAndGo(*soak, soakWorkers, false, 2)
	}()
	var early, late usage // what is used at most, in the second quarter of the time and in the last one
	tick := time.NewTicker(min(soakTick, *soak/8))
	defer tick.Stop()
	for going := true; going; {
		select {
		case <-over:
			going = false
		case <-tick.C:
			f := p.figures()
			u := usageOf(f)
			switch done := time.Since(began); {
			case done > *soak*3/4:
				late = late.most(u)
			case done > *soak/4 && done < *soak/2:
				early = early.most(u)
			}
			t.Logf("%4.0f s: %d came; %.0f sessions; %v", time.Since(began).Seconds(), p.joined.Load(), f.sum("weever_sessions"), u)
		}
	}
	limit := usage{before.goroutines * spare, before.live * spare, max(before.heap*spare, before.heap+frayed), 0, before.files + 4}
	after := p.rest(limit)
	now := p.figures().since(old)
	if *heapFile != "" {
		keep(t, *heapFile+".after", p.heap())
	}
	t.Logf("after %v: %v", time.Since(began).Round(time.Second), after)
	for w := range numWays {
		t.Logf("%d left: %v", p.left[w].Load(), w)
	}
	t.Logf("%d came, %d found nobody to watch, %d failed: %v; sessions ended: %s", p.joined.Load(), p.refused.Load(), p.failed.Load(), p.errors,
		now.named("weever_session_ends_total"))
	if !after.within(limit) {
		t.Errorf("the node uses %v, at most may be %v", after, limit)
	}
	if *soak >= 5*time.Minute && (late.memory > 1.2*early.memory+8e6 || late.goroutines > 1.5*early.goroutines) {
		t.Errorf("at most was used in the second quarter %v, in the last %v", early, late)
	}
	if after.memory > 2*before.memory+64e6 {
		t.Errorf("%.1f MB are resident, before anybody came %.1f MB", after.memory/1e6, before.memory/1e6)
	}
	if p.joined.Load() < int64(*soak/time.Second) || p.failed.Load() > p.joined.Load()/50 {
		t.Errorf("%d came, %d could not", p.joined.Load(), p.failed.Load())
	}
}

func (u usage) most(v usage) usage {
	return usage{max(u.goroutines, v.goroutines), max(u.live, v.live), max(u.heap, v.heap), max(u.memory, v.memory), max(u.files, v.files)}
}
