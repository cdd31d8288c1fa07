package load

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/histogram"
)

// Report is what a run has seen.
type Report struct {
	Rooms       int     `json:"rooms"`
	Traffic     string  `json:"traffic"`
	Codec       string  `json:"codec"`
	WHEP        bool    `json:"whep"`
	Seconds     float64 `json:"seconds"`       // of the measurement; joins lie before it
	CPU         float64 `json:"generator_cpu"` // cores that this process kept busy meanwhile: near the number there is, it measured itself
	Publishers  Joins   `json:"publishers"`
	Subscribers Joins   `json:"subscribers"`
	KeyFrame    Times   `json:"first_key_frame"` // POST → first whole key frame, of the subscribers that saw one
	Sent        Sent    `json:"sent"`
	Video       Media   `json:"video"`
	Audio       Media   `json:"audio"`
	Errors      []Fault `json:"errors,omitempty"` // most frequent first
}

// Joins says how opening sessions went. A publisher has joined when it is connected, a subscriber with its first packet.
type Joins struct {
	Wanted  int   `json:"wanted"`
	Joined  int   `json:"joined"`
	Failed  int   `json:"failed"`
	Retries int   `json:"retries"` // answers that asked to come again later
	Ended   int   `json:"ended"`   // joined, but over before the run was
	Time    Times `json:"time"`
}

// Sent counts what the publishers sent while measuring.
type Sent struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"` // of RTP payload
	PLIs    uint64 `json:"plis"`  // key frames that were asked for
	NACKs   uint64 `json:"nacks"` // packets that were asked for again
}

// Media says what all subscribers together received of one kind while measuring.
type Media struct {
	TracksWanted int     `json:"tracks_wanted"` // one for each subscriber and track it should get
	Tracks       int     `json:"tracks"`        // those of which something came
	Packets      uint64  `json:"packets"`
	Expected     uint64  `json:"expected"` // by sequence numbers
	Gaps         uint64  `json:"gaps"`     // of these, not there when a later one came: lost at first
	Lost         uint64  `json:"lost"`     // of these, not there at the end: lost and not repaired
	Missing      uint64  `json:"missing"`  // by the publishers' own counts: the server's drops too
	Repaired     uint64  `json:"repaired"` // came by RTX
	Duplicates   uint64  `json:"duplicates"`
	Bytes        uint64  `json:"bytes"` // of RTP payload
	Mbps         float64 `json:"mbps"`
	Latency      Times   `json:"latency"` // written by the publisher → come to the subscriber's socket; where the kernel does not say when, read from it
}

// Times sums up durations, in milliseconds.
type Times struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// Fault is a kind of failure and how often it happened.
type Fault struct {
	Text  string `json:"text"`
	Count int    `json:"count"`
}

func times(h *histogram.Histogram) Times {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Times{h.Count(), ms(h.Quantile(0.5)), ms(h.Quantile(0.9)), ms(h.Quantile(0.99)), ms(h.Max())}
}

func (j *joins) report() Joins {
	return Joins{Wanted: j.wanted, Joined: j.wanted - j.failed, Failed: j.failed, Retries: j.retries, Time: times(&j.took)}
}

// baseline is where the measurement began.
type baseline struct {
	at   time.Time
	cpu  time.Duration
	sent Sent
}

// begin starts the measurement: what came before does not count.
func (f *fleet) begin() baseline {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.subs {
		s.ResetTracks()
	}
	return baseline{time.Now(), cpuTime(), f.sent()}
}

// sent is called with mu held.
func (f *fleet) sent() (sum Sent) {
	for _, p := range f.pubs {
		for _, s := range p.Sent() {
			sum.Packets += s.Packets
			sum.Bytes += s.Bytes
			sum.PLIs += s.PLIs
			sum.NACKs += s.NACKs
		}
	}
	return sum
}

// report sums up what has happened since begin.
func (f *fleet) report(begin baseline) Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	took := time.Since(begin.at).Seconds()
	sent := f.sent()
	r := Report{
		Rooms: f.cfg.Rooms, Traffic: string(f.cfg.Traffic), Codec: string(f.cfg.Codec), WHEP: f.cfg.WHEP,
		Seconds: took, CPU: (cpuTime() - begin.cpu).Seconds() / took,
		Publishers: f.pubJoin.report(), Subscribers: f.subJoin.report(),
		Sent: Sent{sent.Packets - begin.sent.Packets, sent.Bytes - begin.sent.Bytes, sent.PLIs - begin.sent.PLIs, sent.NACKs - begin.sent.NACKs},
	}
	for _, p := range f.pubs {
		r.Publishers.Ended += f.ended("publisher", p.Session)
	}
	var video, audio sum
	var keys histogram.Histogram
	for _, s := range f.subs {
		r.Subscribers.Ended += f.ended("subscriber", s.Session)
		wanted := f.wanted(s.room)
		if !f.cfg.NoVideo {
			video.TracksWanted += wanted
		}
		if !f.cfg.NoAudio {
			audio.TracksWanted += wanted
		}
		var key time.Time
		for _, t := range s.Tracks() {
			if t.Kind == "audio" {
				audio.add(t)
				continue
			}
			video.add(t)
			if !t.KeyAt.IsZero() && (key.IsZero() || t.KeyAt.Before(key)) {
				key = t.KeyAt
			}
		}
		if !key.IsZero() {
			keys.Record(key.Sub(s.posted))
		}
	}
	r.Video, r.Audio, r.KeyFrame = video.media(took), audio.media(took), times(&keys)
	r.Errors = f.errors.list()
	return r
}

// wanted is the number of tracks of each kind that a subscriber of a room should get. mu is held.
func (f *fleet) wanted(room string) int {
	switch n := len(f.names[room]); {
	case f.cfg.WHEP, f.cfg.SubURL != "":
		return min(n, 1)
	case f.cfg.Meeting:
		return n - 1
	default:
		return n
	}
}

func (f *fleet) ended(who string, s *client.Session) int {
	if s.Err() == nil {
		return 0
	}
	f.errors.add(who+" ended", s.Err())
	return 1
}

// sum adds up tracks.
type sum struct {
	Media
	latency histogram.Histogram
}

func (s *sum) add(t client.TrackStats) {
	if t.Packets > 0 {
		s.Tracks++
	}
	s.Packets += t.Packets
	s.Gaps += t.Gaps
	s.Lost += t.Lost
	s.Missing += t.Missing
	s.Repaired += t.Repaired
	s.Duplicates += t.Duplicates
	s.Bytes += t.Bytes
	s.latency.Merge(t.Latency)
}

func (s *sum) media(seconds float64) Media {
	s.Expected = s.Packets + s.Lost
	s.Mbps = float64(s.Bytes) * 8 / 1e6 / seconds
	s.Latency = times(&s.latency)
	return s.Media
}

// tally counts failures by their texts. Any goroutine may call it.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

// Bounds of what is kept: texts, beyond which all are counted together, and bytes of each.
const (
	maxFaults = 10
	maxFault  = 300
)

func newTally() *tally { return &tally{counts: make(map[string]int)} }

func (t *tally) add(what string, err error) {
	text := what + ": " + err.Error()
	if len(text) > maxFault {
		text = text[:maxFault] + " …"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts[text] == 0 && len(t.counts) >= maxFaults {
		text = "other failures"
	}
	t.counts[text]++
}

func (t *tally) list() []Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Fault
	for text, n := range t.counts {
		list = append(list, Fault{text, n})
	}
	slices.SortFunc(list, func(a, b Fault) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Text, b.Text)) })
	return list
}

// WriteJSON prints the report for programs.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes the report for people.
func (r Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...any) {
		for _, c := range cells {
			fmt.Fprintf(t, "%v\t", c)
		}
		fmt.Fprintln(t)
	}
	row("sessions", "wanted", "joined", "failed", "retries", "ended", "p50 ms", "p90 ms", "p99 ms", "max ms")
	for _, j := range []struct {
		name string
		Joins
	}{{"publishers", r.Publishers}, {"subscribers", r.Subscribers}} {
		row(j.name, j.Wanted, j.Joined, j.Failed, j.Retries, j.Ended, ms(j.Time.P50), ms(j.Time.P90), ms(j.Time.P99), ms(j.Time.Max))
	}
	row("first key frame", "", r.KeyFrame.Count, "", "", "", ms(r.KeyFrame.P50), ms(r.KeyFrame.P90), ms(r.KeyFrame.P99), ms(r.KeyFrame.Max))
	row()
	row("media", "tracks", "packets", "gaps", "lost", "missing", "repaired", "Mbit/s", "p50 ms", "p90 ms", "p99 ms", "max ms")
	for _, m := range []struct {
		name string
		Media
	}{{"video", r.Video}, {"audio", r.Audio}} {
		row(m.name, fmt.Sprintf("%d/%d", m.Tracks, m.TracksWanted), m.Packets, m.Gaps, share(m.Lost, m.Expected), share(m.Missing, m.Packets+m.Missing), m.Repaired,
			fmt.Sprintf("%.1f", m.Mbps), ms(m.Latency.P50), ms(m.Latency.P90), ms(m.Latency.P99), ms(m.Latency.Max))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s traffic of %s in %d room(s) for %.1f s: %d packets sent, %d key frames and %d packets asked for again; this process used %.2f cores\n",
		r.Traffic, r.Codec, r.Rooms, r.Seconds, r.Sent.Packets, r.Sent.PLIs, r.Sent.NACKs, r.CPU)
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "%6d × %s\n", e.Count, e.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func ms(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", v)
}

// share is a count with its part of the whole.
func share(n, of uint64) string {
	if n == 0 || of == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d (%.2g%%)", n, float64(n)/float64(of)*100)
}
