// Package probe has the instruments of a check that are not HTTP: offers made to order, answers read closely, a socket that speaks
// STUN, and sessions over which media flows.
//
// The rows of the checklist call it. It judges nothing, and nothing in it outlives what it was made for.
package probe

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// Section is one m-section of an offer.
type Section struct {
	Kind      string // "audio" or "video"
	Mid       string
	Direction string   // "sendonly", "recvonly", …
	Rids      []string // simulcast layers, best first
	Unknown   bool     // offers one codec alone, which nobody knows
}

// Offer says how an offer is to be. It has fresh ICE credentials and no candidates, and all of it is bundled.
type Offer struct {
	Sections []Section
	Setup    string // DTLS role; empty: actpass
}

// Plain is the offer of a usual client: one audio and one video section.
func Plain(direction string) Offer {
	return Offer{Sections: []Section{{Kind: "audio", Mid: "0", Direction: direction}, {Kind: "video", Mid: "1", Direction: direction}}}
}

// With returns the offer with another DTLS role.
func (o Offer) With(setup string) Offer {
	o.Setup = setup
	return o
}

// Mids returns the offer with other mids.
func (o Offer) Mids(mids ...string) Offer {
	o.Sections = slices.Clone(o.Sections)
	for i := range o.Sections {
		o.Sections[i].Mid = mids[i]
	}
	return o
}

// Many is an offer of so many sections of each kind.
func Many(direction string, audio, video int) Offer {
	var o Offer
	for i := range audio + video {
		kind := "audio"
		if i >= audio {
			kind = "video"
		}
		o.Sections = append(o.Sections, Section{Kind: kind, Mid: fmt.Sprint(i), Direction: direction})
	}
	return o
}

// codec is what an offer says of one codec.
type codec struct {
	pt, rtx      int // rtx: payload type of its retransmissions; 0: none
	rtpmap, fmtp string
}

// codecs lists what is offered of a kind, the most common first.
func codecs(s Section) []codec {
	switch {
	case s.Unknown:
		return []codec{{pt: 120, rtpmap: "x-nobody-knows-this/90000"}}
	case s.Kind == "audio":
		return []codec{{pt: 111, rtpmap: "opus/48000/2", fmtp: "minptime=10;useinbandfec=1"}}
	}
	return []codec{
		{pt: 96, rtx: 97, rtpmap: "VP8/90000"},
		{pt: 102, rtx: 103, rtpmap: "H264/90000", fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"},
		{pt: 98, rtx: 99, rtpmap: "VP9/90000", fmtp: "profile-id=0"},
	}
}

// SDP writes the offer, with ICE credentials and a fingerprint that nobody has used before.
func (o Offer) SDP() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0\r\no=- %d 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0", number())
	group := ""
	for _, s := range o.Sections {
		group += " " + s.Mid
	}
	line("a=group:BUNDLE%s\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS *", group)
	setup := o.Setup
	if setup == "" {
		setup = "actpass"
	}
	ufrag, pwd := Credentials()
	transport := fmt.Sprintf("a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=ice-options:trickle\r\na=fingerprint:sha-256 %s\r\na=setup:%s", ufrag, pwd, fingerprint(), setup)
	stream := rand.Text()
	for _, s := range o.Sections {
		writeSection(line, s, transport, stream)
	}
	return b.String()
}

func writeSection(line func(string, ...any), s Section, transport, stream string) {
	list := codecs(s)
	formats := ""
	for _, c := range list {
		formats += fmt.Sprintf(" %d", c.pt)
		if c.rtx > 0 {
			formats += fmt.Sprintf(" %d", c.rtx)
		}
	}
	line("m=%s 9 UDP/TLS/RTP/SAVPF%s\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n%s\r\na=mid:%s", s.Kind, formats, transport, s.Mid)
	line("a=extmap:1 %s\r\na=extmap:2 %s", sdp.SDESMidURI, sdp.TransportCCURI)
	if s.Kind == "video" {
		line("a=extmap:3 %s\r\na=extmap:4 %s", sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI)
	}
	line("a=%s\r\na=rtcp-mux\r\na=rtcp-mux-only\r\na=rtcp-rsize", s.Direction)
	for _, c := range list {
		line("a=rtpmap:%d %s\r\na=rtcp-fb:%d transport-cc", c.pt, c.rtpmap, c.pt)
		if s.Kind == "video" {
			line("a=rtcp-fb:%d ccm fir\r\na=rtcp-fb:%d nack\r\na=rtcp-fb:%d nack pli", c.pt, c.pt, c.pt)
		}
		if c.fmtp != "" {
			line("a=fmtp:%d %s", c.pt, c.fmtp)
		}
		if c.rtx > 0 {
			line("a=rtpmap:%d rtx/90000\r\na=fmtp:%d apt=%d", c.rtx, c.rtx, c.pt)
		}
	}
	if s.Direction != "sendonly" && s.Direction != "sendrecv" {
		return
	}
	line("a=msid:%s %s", stream, rand.Text())
	for _, rid := range s.Rids {
		line("a=rid:%s send", rid)
	}
	if len(s.Rids) > 0 {
		line("a=simulcast:send %s", strings.Join(s.Rids, ";"))
		return
	}
	line("a=ssrc:%d cname:%s", number(), stream)
}

// Credentials makes an ICE user fragment and a password (RFC 8839 section 5.4).
func Credentials() (ufrag, pwd string) { return rand.Text()[:8], rand.Text() }

// number is a random 31-bit number, never 0.
func number() int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<31-1))
	if err != nil {
		return 1 // it never fails: crypto/rand ends the process first
	}
	return n.Int64() + 1
}

// fingerprint is that of a certificate which does not exist: nobody gets as far as DTLS with these offers.
func fingerprint() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // it never fails
	text := strings.ToUpper(hex.EncodeToString(raw[:]))
	var pairs []string
	for i := 0; i < len(text); i += 2 {
		pairs = append(pairs, text[i:i+2])
	}
	return strings.Join(pairs, ":")
}
