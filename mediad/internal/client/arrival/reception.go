package arrival

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// maxPacket bounds an RTP packet, in bytes.
const maxPacket = 1500

// SectionInfo says what the server's newest description makes of one m-section.
type SectionInfo struct {
	Mid       string
	Kind      string // "audio", "video" or "application"
	Direction string // as the server sees it: "sendonly", "inactive", …; empty for the data channel
	Pub       string // msid's stream, when it sends
	Track     string // msid's track, when it sends
}

// Reception knows which publisher's track each section carries and counts what comes. Sections are reused for other publishers,
// mostly without a new track event, so the mapping follows the server's descriptions alone.
type Reception struct {
	hooks Hooks

	stray   atomic.Uint64 // packets of sections that carry nobody
	started atomic.Int64  // when the first packet of any track came, in Unix nanoseconds; 0 before

	mu       sync.Mutex
	sections map[string]*atomic.Pointer[Track] // by mid; an entry stays for good
	tracks   map[msid]*Track                   // all that were ever announced
	newest   []SectionInfo
}

type msid struct{ pub, id string }

// Hooks are what a Reception calls for each packet, on the goroutines that read; nil ones it does not. None may block.
type Hooks struct {
	Arrived func(pub, track string, p *rtp.Packet, at time.Time)     // is told of each with a payload, which it borrows
	Came    func(ssrc uint32, seq uint16) (at time.Time, known bool) // says when one came, under the numbers it bore on the wire
	Saw     func(ssrc uint32, seq uint16)                            // is told of video, under the numbers of the media stream
}

// NewReception makes one that knows of nobody.
func NewReception(hooks Hooks) *Reception {
	return &Reception{hooks: hooks, sections: make(map[string]*atomic.Pointer[Track]), tracks: make(map[msid]*Track)}
}

// Remap takes over what a description of the server says. It is called before the description takes effect, so that no packet
// is counted for the section's former publisher.
func (r *Reception) Remap(d *sdp.SessionDescription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = r.newest[:0:0]
	used := make(map[*Track]string)
	for _, m := range d.MediaDescriptions {
		info := describe(m)
		r.newest = append(r.newest, info)
		if info.Kind != "audio" && info.Kind != "video" {
			continue
		}
		var t *Track
		if info.Track != "" {
			key := msid{info.Pub, info.Track}
			if t = r.tracks[key]; t == nil {
				t = New(info.Pub, info.Track, info.Kind)
				r.tracks[key] = t
			}
			used[t] = info.Mid
		}
		r.section(info.Mid).Store(t)
	}
	for _, t := range r.tracks {
		mid, active := used[t]
		t.Assign(mid, active)
	}
}

// section is called with mu held.
func (r *Reception) section(mid string) *atomic.Pointer[Track] {
	p := r.sections[mid]
	if p == nil {
		p = new(atomic.Pointer[Track])
		r.sections[mid] = p
	}
	return p
}

// describe reads one section of a description of the server.
func describe(m *sdp.MediaDescription) SectionInfo {
	info := SectionInfo{Kind: m.MediaName.Media}
	info.Mid, _ = m.Attribute(sdp.AttrKeyMID)
	if info.Kind == "application" {
		return info
	}
	info.Direction = "sendrecv"
	for _, direction := range []string{"sendonly", "recvonly", "inactive"} {
		if _, ok := m.Attribute(direction); ok {
			info.Direction = direction
		}
	}
	_, bundled := m.Attribute("bundle-only")
	if !strings.HasPrefix(info.Direction, "send") || m.MediaName.Port.Value == 0 && !bundled {
		return info
	}
	id, _ := m.Attribute(sdp.AttrKeyMsid)
	info.Pub, info.Track, _ = strings.Cut(id, " ")
	info.Track = cmp.Or(info.Track, "mid"+info.Mid) // a server need not send a msid
	return info
}

// Read counts the packets of one section until the PeerConnection is closed or the receiver replaced.
func (r *Reception) Read(remote *webrtc.TrackRemote, mid string) {
	r.mu.Lock()
	current := r.section(mid)
	r.mu.Unlock()
	buf := make([]byte, maxPacket)
	var p rtp.Packet
	var payloadType uint8
	var codec string // of payloadType
	video := remote.Kind() == webrtc.RTPCodecTypeVideo
	for {
		n, attributes, err := remote.Read(buf)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
			return
		}
		if err != nil || p.Unmarshal(buf[:n]) != nil {
			r.stray.Add(1)
			continue
		}
		if video && r.hooks.Saw != nil {
			r.hooks.Saw(p.SSRC, p.SequenceNumber)
		}
		t := current.Load()
		if t == nil {
			r.stray.Add(1)
			continue
		}
		if p.PayloadType != payloadType || codec == "" {
			payloadType, codec = p.PayloadType, remote.Codec().MimeType
		}
		now, repaired := r.came(&p, attributes)
		if r.started.Load() == 0 {
			r.started.CompareAndSwap(0, now.UnixNano())
		}
		t.Observe(&p, codec, repaired, now)
		if r.hooks.Arrived != nil && len(p.Payload) > 0 {
			r.hooks.Arrived(t.s.Pub, t.s.ID, &p, now) // neither changes
		}
	}
}

// came says when a packet came, and whether it did by RTX (RFC 4588): under other numbers then.
func (r *Reception) came(p *rtp.Packet, attributes interceptor.Attributes) (at time.Time, repaired bool) {
	ssrc, repaired := attributes.Get(webrtc.AttributeRtxSsrc).(uint32)
	seq, _ := attributes.Get(webrtc.AttributeRtxSequenceNumber).(uint16)
	if !repaired {
		ssrc, seq = p.SSRC, p.SequenceNumber
	}
	if r.hooks.Came != nil {
		if at, ok := r.hooks.Came(ssrc, seq); ok {
			return at, repaired
		}
	}
	return time.Now(), repaired
}

// All lists the tracks that were ever announced, in no order.
func (r *Reception) All() []*Track {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.tracks))
}

// Stats says what has come of each of them, sorted by publisher and track.
func (r *Reception) Stats() []Stats {
	var all []Stats
	for _, t := range r.All() {
		all = append(all, t.Stats())
	}
	slices.SortFunc(all, func(a, b Stats) int { return cmp.Or(cmp.Compare(a.Pub, b.Pub), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Track says what has come of one track; ok is false when it was never announced.
func (r *Reception) Track(pub, id string) (_ Stats, ok bool) {
	r.mu.Lock()
	t := r.tracks[msid{pub, id}]
	r.mu.Unlock()
	if t == nil {
		return Stats{}, false
	}
	return t.Stats(), true
}

// Stray is the number of packets that came on sections that carry nobody, or that could not be read.
func (r *Reception) Stray() uint64 { return r.stray.Load() }

// FirstPacketAt is when the first packet of any track came; zero while none has.
func (r *Reception) FirstPacketAt() time.Time {
	if at := r.started.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Layout describes the sections of the server's newest description, in its order.
func (r *Reception) Layout() []SectionInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.newest)
}
