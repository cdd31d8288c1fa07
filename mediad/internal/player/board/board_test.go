package board

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"weever/shared/apierr"
)

// open makes a stream and a reader of it.
func open(t *testing.T, b *Board, want Set) (string, *Reader) {
	t.Helper()
	id, err := b.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := b.Attach(id)
	if !ok {
		t.Fatal("no stream after Open")
	}
	return id, r
}

// takes insists on what a reader gets now.
func takes(t *testing.T, r *Reader, want ...string) {
	t.Helper()
	var got []string
	for _, event := range strings.Split(string(r.Take(nil)), "\n\n") {
		if event == "" {
			continue
		}
		name, data, ok := strings.Cut(strings.TrimPrefix(event, "event: "), "\ndata: ")
		if !ok || strings.Contains(data, "\n") || !json.Valid([]byte(data)) {
			t.Errorf("not an event with one line of JSON: %q", event)
		}
		got = append(got, name+" "+data)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func isOver(r *Reader) bool {
	select {
	case <-r.Done():
		return true
	default:
		return false
	}
}

func TestFirstEvents(t *testing.T) {
	b := New(make(chan struct{}, 1))
	b.SetViewers(3)
	b.SetLayers(map[int][]Layer{1: {{Rid: "h", Bitrate: 900000, Width: 1280, Height: 720}, {Rid: "l"}}, 10: {}, 2: {{Spatial: new(int), Temporal: new(int)}}})
	b.SetLive(true)
	_, r := open(t, b, All)
	takes(
		t, r,
		`active {}`,
		`layers {"1":[{"rid":"h","bitrate":900000,"width":1280,"height":720},{"rid":"l"}],"10":[],"2":[{"spatialLayerId":0,"temporalLayerId":0}]}`,
		`viewercount {"viewercount":3}`,
	)
	takes(t, r)
	_, quiet := open(t, b, 0)
	takes(t, quiet)
}

// Nobody hears "inactive" first, and whoever opens a stream meanwhile hears of the next change.
func TestNeverInactiveFirst(t *testing.T) {
	b := New(make(chan struct{}, 1))
	b.SetLive(true)
	_, before := open(t, b, All)
	b.SetLive(false)
	takes(t, before, `inactive {}`)
	id, r := open(t, b, All)
	takes(t, r)
	r, _ = b.Attach(id)
	takes(t, r)
	b.SetLive(true)
	takes(t, r, `active {}`)
	b.SetLive(false)
	takes(t, r, `inactive {}`)
	r, _ = b.Attach(id) // the same connection broke: what it carried last may not have come through
	takes(t, r, `inactive {}`)
}

// What is not read is replaced by what is newer, and what is as it was is no news.
func TestCoalescing(t *testing.T) {
	b := New(make(chan struct{}, 1))
	_, r := open(t, b, All)
	for i := range 1000 {
		b.SetViewers(i)
		b.SetLive(i%2 == 0)
		b.SetReconnect(fmt.Sprint("/", i))
	}
	takes(t, r, `inactive {}`, `viewercount {"viewercount":999}`, `reconnect {"url":"/999"}`)
	<-r.Changed()
	if len(r.Changed()) != 0 {
		t.Error("wakes have piled up")
	}
	b.SetViewers(999)
	b.SetLive(false)
	if len(r.Changed()) != 0 {
		t.Error("woken for no change")
	}
	takes(t, r)
}

func TestOnlyWhatIsWanted(t *testing.T) {
	b := New(make(chan struct{}, 1))
	want, err := ParseSet([]byte(`["active","viewercount"]`))
	if err != nil {
		t.Fatal(err)
	}
	id, r := open(t, b, want)
	if !b.Wants(ViewerCount) || b.Wants(Layers) {
		t.Error("wanted is not what was asked for")
	}
	b.SetLive(true)
	b.SetViewers(1)
	b.SetLayers(nil)
	takes(t, r, `active {}`, `viewercount {"viewercount":1}`)
	<-r.Changed()
	b.SetLive(false)
	b.SetReconnect("/")
	if len(r.Changed()) != 0 {
		t.Error("woken for what is not wanted")
	}
	takes(t, r)
	b.SetLive(true)
	takes(t, r, `active {}`)
	b.Delete(id)
	if b.Wants(ViewerCount) {
		t.Error("wanted by nobody")
	}
}

func TestTakeover(t *testing.T) {
	b := New(make(chan struct{}, 1))
	id, first := open(t, b, All)
	second, ok := b.Attach(id)
	if !ok || !isOver(first) || isOver(second) {
		t.Fatal("the second reader did not take over")
	}
	b.SetLive(true)
	takes(t, first)
	first.Detach() // late: it must not end the second
	b.SetViewers(1)
	<-second.Changed()
	takes(t, second, `active {}`, `viewercount {"viewercount":1}`)
	second.Detach()
	second.Detach()
	b.SetViewers(2)
	third, _ := b.Attach(id)
	takes(t, third, `active {}`, `viewercount {"viewercount":2}`)
}

func TestDeleteAndClose(t *testing.T) {
	changed := make(chan struct{}, 1)
	b := New(changed)
	id, r := open(t, b, All)
	<-changed
	b.SetLive(true)
	if !b.Has(id) || !b.Delete(id) || b.Delete(id) || b.Has(id) || !isOver(r) {
		t.Error("the stream was not deleted")
	}
	<-changed
	takes(t, r)
	if _, ok := b.Attach(id); ok {
		t.Error("a deleted stream can be read")
	}

	id, r = open(t, b, All)
	b.SetReconnect("/sub/tea/bob")
	b.Close()
	b.Close()
	b.SetViewers(5)
	if !isOver(r) {
		t.Error("the reader was not told of the end")
	}
	takes(t, r, `active {}`, `reconnect {"url":"/sub/tea/bob"}`) // the last words get through
	r.Detach()
	if _, err := b.Open(All); apierr.From(err).Code != apierr.NoSession || b.Has(id) || b.Delete(id) {
		t.Errorf("after the end: %v", err)
	}
}

func TestBounds(t *testing.T) {
	b := New(make(chan struct{}, 1))
	ids := map[string]bool{}
	for range maxStreams {
		id, err := b.Open(All)
		if err != nil || len(id) != 32 || ids[id] {
			t.Fatalf("%q, %v", id, err)
		}
		ids[id] = true
	}
	if _, err := b.Open(All); apierr.From(err).Code != apierr.TooMany {
		t.Errorf("one more: %v", err)
	}
	for id := range ids {
		b.Delete(id)
		break
	}
	if _, err := b.Open(All); err != nil {
		t.Errorf("after a DELETE: %v", err)
	}
}

// Everything at once, for the race detector: the last states are what every reader ends up with.
func TestManyAtOnce(t *testing.T) {
	b := New(make(chan struct{}, 1))
	var readers, writers sync.WaitGroup
	last := make([]string, maxStreams)
	for i := range maxStreams {
		id, err := b.Open(All)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := b.Attach(id)
		readers.Go(func() {
			for {
				over := false
				select {
				case <-r.Changed():
				case <-r.Done():
					over = true
				}
				for event := range strings.SplitSeq(string(r.Take(nil)), "\n\n") {
					if strings.HasPrefix(event, "event: viewercount") {
						last[i] = event
					}
				}
				if over {
					return
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := range 500 {
				b.SetViewers(i*4 + w)
				b.SetLive(i%2 == w%2)
			}
		})
	}
	writers.Wait()
	b.SetViewers(-1)
	b.Close()
	readers.Wait()
	for i, event := range last {
		if !strings.HasSuffix(event, `{"viewercount":-1}`) {
			t.Errorf("reader %d ended with %q", i, event)
		}
	}
}

func TestParseSet(t *testing.T) {
	for body, want := range map[string]Set{
		"": All, `[]`: 0, `["active"]`: 1, `["reconnect","active","active"]`: 17, ` [ "layers" ] `: 4,
	} {
		if got, err := ParseSet([]byte(body)); err != nil || got != want {
			t.Errorf("%s: %b, %v", body, got, err)
		}
	}
	for _, body := range []string{
		`null`, `{}`, `"active"`, `[1]`, `["scte35"]`, `["Active"]`, `["active"`, `["active"]]`, `[[]]`, `[null]`, " ", "\x00",
		"[" + strings.Repeat(`"active",`, maxNames) + `"active"]`,
	} {
		_, err := ParseSet([]byte(body))
		if e := apierr.From(err); e.Code != apierr.BadRequest || !strings.Contains(e.Detail, "active,inactive,layers,viewercount,reconnect") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func FuzzParseSet(f *testing.F) {
	for _, seed := range []string{"", `[]`, `["active","inactive","layers","viewercount","reconnect"]`, `["scte35"]`, `null`, `[["a"]]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		set, err := ParseSet(body)
		if err != nil && apierr.From(err).Code != apierr.BadRequest {
			t.Errorf("%v", err)
		}
		if set&^All != 0 {
			t.Errorf("unknown events in %b", set)
		}
	})
}
