package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/control"
	"weever/shared/room/roomtest"
	"weever/shared/testkit/chromium"
	"weever/shared/testkit/guest"
	"weever/shared/testkit/netns"
)

// Chromium changes its place in the network, and weever.js sees to it that everything goes on: nobody tells it to.

// pageKit prepares a page: kit.publish, kit.subscribe, kit.whip and kit.whep open sessions, the latter two as plain clients that do
// nothing about a lost path. It notes in log what goes on, and in kit.seen[name] when media arrived for a session called name.
const pageKit = `
	const { publish, subscribe } = await import('/weever.js');
	const log = [], seen = {};
	const note = (...words) => log.push([Date.now(), ...words].join(' '));
	const real = fetch.bind(window);
	window.fetch = async (url, init) => {
		note(init.method);
		const res = await real(url, init).catch((err) => { note(init.method, err); throw err; });
		note(init.method, res.status);
		return res;
	};
	for (const type of ['online', 'offline']) addEventListener(type, () => note(type));
	navigator.connection?.addEventListener('change', () => note('change'));

	const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
	const stats = async (session) => [...(await session.getStats()).values()];
	const sum = (list, field) => list.reduce((n, s) => n + (s[field] ?? 0), 0);
	const watch = async (name, session) => {
		seen[name] = [];
		for (let was = 0;;) {
			const n = sum((await stats(session).catch(() => [])).filter((s) => s.type === 'inbound-rtp'), 'packetsReceived');
			if (n > was) seen[name].push(Date.now());
			was = n;
			await sleep(25);
		}
	};

	const camera = () => navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 240 } });
	const plain = async (path, prepare) => {
		const pc = new RTCPeerConnection();
		prepare(pc);
		await pc.setLocalDescription();
		while (pc.iceGatheringState !== 'complete') await sleep(10);
		const headers = { 'Content-Type': 'application/sdp' };
		const res = await fetch(path, { method: 'POST', headers, body: pc.localDescription.sdp });
		await pc.setRemoteDescription({ type: 'answer', sdp: await res.text() });
		return pc;
	};
	window.kit = {
		log, seen, sessions: {},
		async publish(name, room) {
			const session = kit.sessions[name] = publish({ room, id: name, stream: await camera() });
			await session.opened();
			return session.fullId;
		},
		async subscribe(name, room) {
			const session = kit.sessions[name] = subscribe({ room, id: name });
			watch(name, session);
			await session.opened();
		},
		async whip(name, room) {
			const stream = await camera();
			kit.sessions[name] = await plain('pub/' + room + '/' + name, (pc) => {
				for (const track of stream.getTracks()) pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
			});
		},
		async whep(name, room) {
			kit.sessions[name] = await plain('sub/' + room + '/' + name, (pc) => {
				for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
			});
			watch(name, kit.sessions[name]);
		},
		// Chromium checks a young path often, an old one every 2.5 s: waits until all are old and the named one was checked just now.
		async settle(name) {
			const checked = async (session) => {
				for (let was = -1, since = Infinity;;) {
					const n = sum(await stats(session), 'requestsSent');
					if (n !== was) {
						if (Date.now() - since > 2000) return;
						[was, since] = [n, Date.now()];
					}
					await sleep(50);
				}
			};
			await Promise.all(Object.values(kit.sessions).map(checked));
			await checked(kit.sessions[name]);
		},
		async received(name) { return sum((await stats(kit.sessions[name])).filter((s) => s.type === 'transport'), 'bytesReceived'); },
	};`

// tab is a page of a Chromium on another machine.
type tab struct {
	t *testing.T
	*guest.Guest
}

// openTab starts Chromium on a machine and opens a page of the first node.
func (r *roaming) openTab(t *testing.T, m *netns.Machine) tab {
	t.Helper()
	p := tab{t, guest.Start(t, m, m.Name, insideEnds)}
	guest.Call[guest.Nothing](p.Guest, "Browse", chromium.Page{URL: r.nodes[0].PublicURL() + "/", Profile: t.TempDir()})
	inTab[any](p, pageKit)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the page noted:\n%s", strings.Join(inTab[[]string](p, `return kit.log`), "\n"))
		}
	})
	return p
}

// inTab runs the body of an async function in the page.
func inTab[T any](p tab, body string) (out T) {
	p.t.Helper()
	if err := json.Unmarshal(guest.Call[[]byte](p.Guest, "Eval", body), &out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

// plays waits until a session of the page that receives is receiving.
func (p tab) plays(name string) {
	p.t.Helper()
	await(p.t, name+" to receive", 10*time.Second, func() bool { return inTab[int](p, fmt.Sprintf(`return kit.seen[%q].length`, name)) > 20 })
}

// posts counts the POSTs of the page.
func (p tab) posts() int {
	p.t.Helper()
	return inTab[int](p, `return kit.log.filter((line) => line.endsWith('POST')).length`)
}

// playsAgain waits until a session of the page has received again for a while, after a change at a time, and says since when: the end
// of the longest silence.
func (p tab) playsAgain(name string, changed time.Time) time.Time {
	p.t.Helper()
	var resumed int64
	await(p.t, name+" to receive again", 20*time.Second, func() bool {
		seen := inTab[[]int64](p, fmt.Sprintf(`return kit.seen[%q].filter((at) => at >= %d)`, name, changed.Add(-inFlight).UnixMilli()))
		longest := int64(0)
		was := changed.UnixMilli()
		for _, at := range seen {
			if at-was > longest {
				longest, resumed = at-was, at
			}
			was = at
		}
		return resumed > 0 && was-resumed > 500
	})
	return time.UnixMilli(resumed)
}

func TestRoamingBrowser(t *testing.T) {
	r := newRoaming(t)
	t.Run("publisher", func(t *testing.T) {
		m := r.net.Machine()
		link := m.Plug()
		page := r.openTab(t, m)
		id := inTab[string](page, `return kit.publish('mover', 'pub')`)
		v := r.watch(t, "pub")
		plays(t, v, id, "video0")
		before := r.sessions(t, "pub")

		link.Unplug()
		link = m.Plug()
		up := time.Now()
		back(t, "Chromium publishing", resumeLimit, up, arrives(t, v, id, "audio0", up))
		plays(t, v, id, "video0")
		r.unchanged(t, "pub", before)

		// And once more with some seconds without any network, in which all learn that nothing comes from her.
		asked := len(v.Log())
		link.Unplug()
		if _, _, err := v.AwaitFrom(within(t, 10*time.Second), asked, func(m control.Message) bool { return m == control.PubAway{Pub: roomtest.FullID(t, id)} }); err != nil {
			t.Fatal(err)
		}
		m.Plug()
		up = time.Now()
		back(t, "Chromium publishing, after a time without network", resumeLimit, up, arrives(t, v, id, "audio0", up))
		plays(t, v, id, "video0")
		inTab[any](page, `return kit.sessions.mover.ping()`)
		r.unchanged(t, "pub", before)
		stayed(t, v)
		if n := page.posts(); n != 1 {
			t.Errorf("%d POSTs", n)
		}
	})
	t.Run("viewer", func(t *testing.T) {
		r.send(t, "sub")
		m := r.net.Machine()
		link := m.Plug()
		page := r.openTab(t, m)
		inTab[any](page, `return kit.subscribe('mover', 'sub')`)
		page.plays("mover")
		before := r.sessions(t, "sub")

		link.Unplug()
		m.Plug()
		up := time.Now()
		back(t, "Chromium watching", resumeLimit, up, page.playsAgain("mover", up))
		inTab[any](page, `return kit.sessions.mover.ping()`)
		r.unchanged(t, "sub", before)
		if n := page.posts(); n != 1 {
			t.Errorf("%d POSTs", n)
		}
	})
}

// A NAT gives a Chromium other ports, which tells nobody: weever.js sees that nothing arrives, plain WHIP and WHEP clients do nothing
// at all.
func TestRebindingBrowser(t *testing.T) {
	r := newRoaming(t)
	r.send(t, "down")
	m := r.net.Machine()
	m.Plug()
	m.Rebind() // the NAT is there from the beginning
	page := r.openTab(t, m)
	id := inTab[string](page, `return kit.publish('talker', 'up')`)
	inTab[any](page, `await kit.whip('whip', 'up'); await kit.subscribe('listener', 'down'); await kit.whep('whep', 'down')`)
	v := r.watch(t, "up")
	publishers := []string{id, "whip"}
	viewers := []string{"listener", "whep"}
	limits := map[string]time.Duration{id: resumeLimit, "listener": resumeLimit, "whip": plainLimit, "whep": plainLimit}
	for _, name := range publishers {
		plays(t, v, name, "video0")
	}
	for _, name := range viewers {
		page.plays(name)
	}
	inTab[any](page, `return kit.settle('whep')`)
	before := [][]string{r.sessions(t, "up"), r.sessions(t, "down")}
	posts := page.posts()

	m.Rebind()
	at := time.Now()
	for name, first := range arriveAll(t, v, publishers, "audio0", at.Add(inFlight)) {
		back(t, name+", publishing behind a NAT", limits[name], at, first)
	}
	for _, name := range viewers {
		back(t, name+", watching behind a NAT", limits[name], at, page.playsAgain(name, at))
	}
	for _, name := range publishers {
		plays(t, v, name, "video0")
	}
	// The nodes send to the new ports, to publishers, too.
	inTab[any](page, `return Promise.all([kit.sessions.talker.ping(), kit.sessions.listener.ping()])`)
	received := inTab[int](page, `return kit.received('whip')`)
	await(t, "feedback to the plain publisher", 5*time.Second, func() bool { return inTab[int](page, `return kit.received('whip')`) > received })
	for i, rm := range []string{"up", "down"} {
		r.unchanged(t, rm, before[i])
	}
	stayed(t, v)
	if n := page.posts(); n != posts {
		t.Errorf("%d POSTs, then %d", posts, n)
	}
	t.Logf("the page restarted ICE %d times", inTab[int](page, `return kit.log.filter((line) => line.endsWith('PATCH 200')).length`))
}

// arriveAll waits for packets of the same track of several publishers at once.
func arriveAll(t *testing.T, v *client.Subscriber, pubs []string, track string, after time.Time) map[string]time.Time {
	t.Helper()
	var wg sync.WaitGroup
	times, errs := make([]time.Time, len(pubs)), make([]error, len(pubs))
	for i, pub := range pubs {
		wg.Go(func() { times[i], errs[i] = arrivalAfter(t.Context(), v, Awaited{pub, track, after}) })
	}
	wg.Wait()
	out := map[string]time.Time{}
	for i, pub := range pubs {
		if errs[i] != nil {
			t.Error(errs[i])
		}
		out[pub] = times[i]
	}
	return out
}
