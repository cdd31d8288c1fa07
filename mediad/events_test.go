package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/arrival"
	"weever/mediad/internal/client/synth"
)

func simulcast() client.Track {
	cam := client.Camera(synth.VP8, synth.Burst)
	cam.Rids = []string{"h", "m", "l"}
	return cam
}

func rids(layers []layerInfo) string {
	var out []string
	for _, l := range layers {
		out = append(out, l.Rid)
	}
	return strings.Join(out, ",")
}

// A player hears who and what there is, by whatever node it asks: POST and DELETE are passed on to the session's node, the reader is
// sent there.
func TestPlayerEvents(t *testing.T) {
	nodes := startNodes(t, 3)
	publish(t, nodes[0], "tea", "alice", client.Microphone(), simulcast())
	v := startPlayer(t, nodes[1], "tea", "player", "alice")
	for name, by := range map[string]*testNode{"its own node": nodes[1], "another": nodes[2]} {
		t.Run(name, func(t *testing.T) {
			path := openEvents(t, by, v, "")
			e := listen(t, by.PublicURL()+path)
			if got := e.resp.Request.URL.String(); got != nodes[1].PublicURL()+path {
				t.Errorf("the stream comes from %s", got)
			}
			e.expect("active", "{}")
			measured := func(l []layerInfo) bool {
				return !slices.ContainsFunc(l, func(l layerInfo) bool {
					width := map[string]int{"h": 640, "m": 320, "l": 160}[l.Rid]
					return l.Bitrate < 200_000 || l.Bitrate > 4_000_000 || l.Width != width || l.Height != width*3/4
				})
			}
			already := false
			e.layers("all rids", func(l []layerInfo) bool {
				already = measured(l)
				return rids(l) == "h,m,l"
			})
			e.expect("viewercount", `{"viewercount":1}`)
			if !already { // three layers flow, though one alone comes to this node
				e.layers("their bit rates and sizes", measured)
			}
			bob := subscribe(t, nodes[0], "tea", "bob")
			e.expect("viewercount", `{"viewercount":2}`)
			if err := bob.Close(within(t, 5*time.Second)); err != nil {
				t.Fatal(err)
			}
			e.expect("viewercount", `{"viewercount":1}`)

			again := listen(t, by.PublicURL()+path) // takes over
			e.ends()
			again.expect("active", "{}")
			if r := do(t, "HEAD", by.PublicURL()+path, "", nil); r.status != 200 || r.header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("HEAD: %+v", r)
			}
			if r := do(t, "DELETE", by.PublicURL()+path, "", nil); r.status != 200 {
				t.Errorf("DELETE: %+v", r)
			}
			again.ends()
			for _, method := range []string{"DELETE", "GET"} {
				problem(t, do(t, method, by.PublicURL()+path, "", nil), 404)
			}
		})
	}
	if st := nodes[1].relay.Stats(); st.Subscribed != 2 {
		t.Errorf("%d streams are fetched, want 2: what is measured need not come here", st.Subscribed)
	}
	some := listen(t, nodes[1].PublicURL()+openEvents(t, nodes[2], v, `["viewercount"]`))
	some.expect("viewercount", `{"viewercount":1}`)
	if r := do(t, "DELETE", at(t, nodes[2], v, ""), "", nil); r.status != 200 {
		t.Errorf("DELETE of the session: %+v", r)
	}
	some.ends()
	if len(some.seen) != 1 {
		t.Errorf("it wanted viewercount alone and got %v", some.seen)
	}
	problem(t, do(t, "POST", at(t, nodes[2], v, "/events"), "", nil), 404)
}

// The player's publisher falls silent, returns, leaves, comes back; nobody hears "inactive" first.
func TestPlayerHearsOfItsPublisher(t *testing.T) {
	nodes := startNodes(t, 2)
	p := publish(t, nodes[0], "tea", "alice")
	v := startPlayer(t, nodes[1], "tea", "player", "alice")
	e := listen(t, nodes[1].PublicURL()+openEvents(t, nodes[1], v, ""))
	e.expect("active", "{}")
	e.layers("the only one", func(l []layerInfo) bool {
		return len(l) == 1 && l[0].Rid == "" && l[0].SpatialLayerID != nil && *l[0].SpatialLayerID == 0 && l[0].TemporalLayerID != nil && *l[0].TemporalLayerID == 0
	})
	e.layers("its bit rate", func(l []layerInfo) bool { return l[0].Bitrate > 0 })
	rates := listen(t, nodes[1].PublicURL()+openEvents(t, nodes[1], v, `["layers"]`))
	rates.layers("its bit rate at once, as it is known", func(l []layerInfo) bool { return l[0].Bitrate > 0 })
	p.SetNetwork(false)
	e.expect("inactive", "{}")
	rates.layers("no bit rate", func(l []layerInfo) bool { return len(l) == 1 && l[0].Bitrate == 0 })
	late := listen(t, nodes[1].PublicURL()+openEvents(t, nodes[1], v, `["active","inactive"]`))
	p.SetNetwork(true)
	e.expect("active", "{}")
	late.expect("active", "{}")
	if len(late.seen) != 1 {
		t.Errorf("first came %v", late.seen)
	}
	if err := p.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	e.expect("inactive", "{}")
	e.next("layers of nobody", func(got sse) bool { return got == sse{"layers", `{"1":[]}`} })
	problem(t, do(t, "POST", at(t, nodes[0], v, "/layer"), `{"rid":"h"}`, jsonHeader), 422)
	publish(t, nodes[0], "tea", "alice")
	e.expect("active", "{}")
	e.layers("the new one", func(l []layerInfo) bool { return len(l) == 1 })
}

// A node that ends tells its players where to start anew, and then ends their streams.
func TestPlayerIsToldToReconnect(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice+1", client.Microphone(), simulcast())
	v := startPlayer(t, nodes[1], "tea", "player", "alice+1")
	e := listen(t, nodes[1].PublicURL()+openEvents(t, nodes[0], v, ""))
	e.expect("active", "{}")
	nodes[1].stop()
	e.ends()
	// After it only what ends with the node may come: a layer that is silent now.
	if !slices.Contains(e.seen, sse{"reconnect", `{"url":"/sub/tea/player?pub=alice%2B1"}`}) {
		t.Errorf("was told %v", e.seen)
	}
	cfg := clientConfig(nodes[0], "tea", "player")
	cfg.NoControl = true
	cfg.Endpoint = nodes[0].PublicURL() + "/sub/tea/player?pub=alice%2B1"
	plays(t, subscribeOffering(t, cfg, 1, 1), "alice+1", "video0")
}

// A player gets the layer it chooses, as one stream, wherever it and its publisher are, by whatever node it asks.
func TestPlayerChoosesLayers(t *testing.T) {
	nodes := startNodes(t, 2)
	p := publish(t, nodes[0], "tea", "alice", client.Microphone(), simulcast())
	streams := map[string]uint32{}
	for _, s := range p.Sent() {
		streams[s.Rid] = s.Stream
	}
	for i, n := range nodes {
		v := startPlayer(t, n, "tea", "player", "alice")
		plays(t, v, "alice", "video0")
		for _, c := range []struct{ body, rid string }{
			{`{"mediaId":"1","rid":"l"}`, "l"},
			{`{"encodingId":"m","spatialLayerId":0,"unknown":[]}`, "m"},
			{`{}`, "h"},
			{`{"maxWidth":100}`, "l"}, // none fits, so the least
			{`{"maxHeight":479}`, "m"},
			{`{"maxWidth":640,"maxHeight":480}`, "h"},
			{`{"mediaId":1,"rid":"m","maxTemporalLayerId":2,"maxSpatialLayerId":2}`, "m"},
			{`{"mediaId":"1"}`, "h"},
		} {
			if r := do(t, "POST", at(t, nodes[1-i], v, "/layer"), c.body, jsonHeader); r.status != 200 || r.body != "" {
				t.Fatalf("%s: %+v", c.body, r)
			}
			st, err := v.AwaitTrack(within(t, 10*time.Second), "alice", "video0", func(st arrival.Stats) bool { return st.Stream == streams[c.rid] })
			if err != nil {
				t.Fatalf("%s: %v: %+v", c.body, err, v.Tracks())
			}
			if st = more(t, v, "alice", "video0", 20); st.SSRCs != 1 || st.Backwards != 0 {
				t.Errorf("%s: not one stream: %+v", c.body, st)
			}
		}
		for body, c := range map[string]struct {
			status int
			names  string
		}{
			`{"rid":"q"}`:                        {422, "h, m, l"},
			`{"mediaId":"1","spatialLayerId":1}`: {422, "h, m, l"},
			`{"temporalLayerId":1}`:              {422, "h, m, l"},
			`{"mediaId":"0"}`:                    {422, "1"},
			`{"mediaId":"2","rid":"l"}`:          {422, "1"},
			`{"rid":1}`:                          {400, "rid"},
			`[]`:                                 {400, "rid"},
			``:                                   {400, "rid"},
			`{"x":"` + strings.Repeat("x", 5000) + `"}`: {413, "4096"},
		} {
			r := do(t, "POST", at(t, nodes[1-i], v, "/layer"), body, jsonHeader)
			problem(t, r, c.status)
			if !strings.Contains(r.body, c.names) {
				t.Errorf("%s: %s", body, r.body)
			}
		}
		if st := more(t, v, "alice", "video0", 20); st.Stream != streams["h"] {
			t.Error("a refused choice changed the layer")
		}
	}
}

// The choice outlives its publisher's session.
func TestPlayersChoiceStays(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice+1", client.Microphone(), simulcast())
	v := startPlayer(t, nodes[1], "tea", "player", "alice")
	plays(t, v, "alice+1", "video0")
	if r := do(t, "POST", at(t, nodes[1], v, "/layer"), `{"rid":"l"}`, jsonHeader); r.status != 200 {
		t.Fatalf("%+v", r)
	}
	next := publish(t, nodes[1], "tea", "alice+1", client.Microphone(), simulcast())
	for _, s := range next.Sent() {
		if s.Rid != "l" {
			continue
		}
		if _, err := v.AwaitTrack(within(t, 10*time.Second), "alice+1", "video0", func(st arrival.Stats) bool { return st.Stream == s.Stream }); err != nil {
			t.Fatalf("%v: %+v", err, v.Tracks())
		}
	}
}

// What a player may ask for is linked, each on a line of its own, and what it may not is refused in words.
func TestExtensionsOverHTTP(t *testing.T) {
	c := newCluster(t, 1)
	cfg, other := c.config(0), c.config(1)
	cfg.Auth.On, other.Auth.On = true, true
	n, elsewhere := start(t, cfg), start(t, other)
	for role, id := range map[string]string{"pub": "bob", "sub": "alice"} {
		if r := do(t, "POST", n.PrivateURL()+"/create/"+role, `{"room":"tea","id":"`+id+`","token":"secret"}`, jsonHeader); r.status != 200 {
			t.Fatalf("create: %+v", r)
		}
	}
	bearer := map[string]string{"Authorization": "Bearer secret"}
	pub := clientConfig(n, "tea", "bob")
	pub.Token = "secret"
	p, err := client.Publish(within(t, 10*time.Second), pub, client.Microphone(), simulcast())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
	await(t, "the publisher", 5*time.Second, func() bool { return do(t, "GET", n.PrivateURL()+"/list/pub/tea", "", nil).body == "bob" })

	posted := postPlayer(t, n, "/sub/tea/alice+tab", false, bearer)
	session := posted.header.Get("Location")
	want := []string{
		"<" + session + `/events>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="active,inactive,layers,viewercount,reconnect"`,
		"<" + session + `/layer>; rel="urn:ietf:params:whep:ext:core:layer"`,
	}
	if got := posted.header.Values("Link"); !slices.Equal(got, want) {
		t.Errorf("Links %q, want %q", got, want)
	}
	multi := postPlayer(t, n, "/sub/tea/alice", true, bearer)
	if got := multi.header.Values("Link"); len(got) != 0 {
		t.Errorf("Links of a session with a control channel: %q", got)
	}

	unknown := "/sub/tea/alice+tab/" + strings.Repeat("0", 32) + n.instance
	for _, at := range []*testNode{n, elsewhere} {
		for name, s := range map[string]struct {
			method, path, body string
			header             map[string]string
			want               int
		}{
			"an unknown event":       {"POST", session + "/events", `["active","scte35"]`, jsonHeader, 400},
			"no array":               {"POST", session + "/events", `{}`, jsonHeader, 400},
			"another type":           {"POST", session + "/events", `["active"]`, map[string]string{"Content-Type": "text/plain"}, 400},
			"too large":              {"POST", session + "/events", `["` + strings.Repeat("a", 5000) + `"]`, jsonHeader, 413},
			"GET of events":          {"GET", session + "/events", "", nil, 405},
			"DELETE of events":       {"DELETE", session + "/events", "", nil, 405},
			"POST to a stream":       {"POST", session + "/events/x", "", nil, 405},
			"an unknown stream":      {"GET", session + "/events/x", "", nil, 404},
			"DELETE of none":         {"DELETE", session + "/events/x", "", nil, 404},
			"GET of layer":           {"GET", session + "/layer", "", nil, 405},
			"layer of another type":  {"POST", session + "/layer", `{}`, sdpHeader, 400},
			"events of none":         {"POST", unknown + "/events", "", nil, 404},
			"layer of none":          {"POST", unknown + "/layer", `{}`, jsonHeader, 404},
			"another's session":      {"POST", strings.Replace(session, "+tab", "", 1) + "/events", "", nil, 404},
			"a session with control": {"POST", multi.header.Get("Location") + "/events", "", nil, 404},
			"a publisher":            {"POST", strings.Replace(session, "/sub/", "/pub/", 1) + "/events", "", nil, 404},
			"a bad name":             {"POST", "/sub/tea/a.b/x/events", "", nil, 400},
		} {
			t.Run(at.cfg.Node.ID+" "+name, func(t *testing.T) {
				problem(t, do(t, s.method, at.PublicURL()+s.path, s.body, s.header), s.want)
			})
		}
		if r := do(t, "POST", at.PublicURL()+session+"/layer", `{}`, map[string]string{"Content-Type": "application/json", "Authorization": "Bearer wrong"}); r.status != 401 {
			t.Errorf("a wrong token: %+v", r)
		}
		if r := do(t, "POST", at.PublicURL()+session+"/layer", `{}`, map[string]string{"Content-Type": "application/json", "Authorization": "Bearer secret"}); r.status != 200 {
			t.Errorf("the right token: %+v", r)
		}
		for path, allow := range map[string]string{"/events": "POST, OPTIONS", "/layer": "POST, OPTIONS", "/events/x": "GET, HEAD, DELETE, OPTIONS"} {
			if r := do(t, "OPTIONS", at.PublicURL()+session+path, "", nil); r.status != 200 || r.header.Get("Allow") != allow ||
				(r.header.Get("Accept-Post") == "application/json") != (path != "/events/x") {
				t.Errorf("OPTIONS %s: %+v", path, r)
			}
		}
	}
	for range 4 {
		if r := do(t, "POST", elsewhere.PublicURL()+session+"/events", "", nil); r.status != 201 || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%+v", r)
		}
	}
	problem(t, do(t, "POST", elsewhere.PublicURL()+session+"/events", "", nil), 429)
}

// Streams, their readers and what is looked up for them leave nothing behind.
func TestEventsLeaveNothingBehind(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice", client.Microphone(), simulcast())
	round := func() {
		for range 5 {
			v := startPlayer(t, nodes[1], "tea", "player", "alice")
			for range 2 {
				e := listen(t, nodes[0].PublicURL()+openEvents(t, nodes[0], v, ""))
				e.expect("viewercount", `{"viewercount":1}`)
			}
			last := listen(t, nodes[0].PublicURL()+openEvents(t, nodes[0], v, ""))
			if err := v.Close(within(t, 5*time.Second)); err != nil {
				t.Error(err)
			}
			last.ends()
			await(t, "the session to end", 5*time.Second, func() bool { _, v := nodes[1].sessions.Counts(); return v == 0 })
		}
	}
	round()
	base := settled()
	round()
	settle(t, base+base/20)
}

// A page's EventSource follows to the node of the session, though both are other origins than its own.
func TestBrowserFollowsEvents(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice", client.Microphone(), simulcast())
	v := startPlayer(t, nodes[1], "tea", "player", "alice")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>a page</title>"))
	}))
	defer site.Close()
	local := func(address string) string { return strings.Replace(address, "127.0.0.1", "localhost", 1) }
	p := page(t, browser(t), local(site.URL))
	session := local(at(t, nodes[0], v, ""))
	got := eval[[]string](t, p, `
		const reply = await fetch('`+session+`/events', {
			method: 'POST', headers: {'Content-Type': 'application/json'}, body: '["active","viewercount","layers"]'});
		const stream = new URL(reply.headers.get('Location'), reply.url);
		const source = new EventSource(stream);
		const came = [];
		await new Promise((done, failed) => {
			for (const name of ['active', 'viewercount']) {
				source.addEventListener(name, (e) => { came.push(name + ' ' + e.data); if (came.length === 2) done(); });
			}
			source.onerror = () => failed(new Error('the stream does not come'));
		});
		source.close();
		const choice = await fetch('`+session+`/layer', {
			method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{"rid":"l"}'});
		came.push('layer ' + choice.status);
		return came;`)
	if want := []string{"active {}", `viewercount {"viewercount":1}`, "layer 200"}; !slices.Equal(got, want) {
		t.Errorf("the page got %q, want %q", got, want)
	}
}
