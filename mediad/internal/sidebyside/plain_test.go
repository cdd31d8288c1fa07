package sidebyside

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// plain is what one writes with pion in an afternoon, and what most servers on pion do: a TrackLocalStaticRTP for each track of a
// publisher, the default interceptors for everybody, one UDP port. It has the node's paths and fills the sections that a viewer offers,
// once; control channels are opened and not used.
type plain struct {
	api *webrtc.API

	mu    sync.Mutex
	rooms map[string]map[string]*published // by room and id
}

// published is one publisher.
type published struct {
	pc     *webrtc.PeerConnection
	want   int // tracks
	tracks []*webrtc.TrackLocalStaticRTP
	videos []uint32 // SSRCs to ask for key frames
}

// servePlain runs until the process is killed.
func servePlain(httpAddr, udpAddr string) error {
	addr, err := net.ResolveUDPAddr("udp", udpAddr)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return err
	}
	_, _ = conn.SetReadBuffer(8<<20), conn.SetWriteBuffer(8<<20)
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return err
	}
	registry := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(media, registry); err != nil {
		return err
	}
	var s webrtc.SettingEngine
	s.SetICEUDPMux(ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn}))
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	p := &plain{
		api:   webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(s)),
		rooms: map[string]map[string]*published{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pub/{room}/{id}", p.answering(p.publish))
	mux.HandleFunc("POST /sub/{room}/{id}", p.answering(p.subscribe))
	mux.HandleFunc("DELETE /", func(http.ResponseWriter, *http.Request) {}) // the process ends with the measurement
	mux.HandleFunc("GET /readiness", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("GET /debug/pprof/heap", pprof.Handler("heap"))
	return http.ListenAndServe(httpAddr, mux) //nolint:gosec // for the time of a benchmark, on loopback
}

var errNotLive = errors.New("a publisher is not live yet")

// answering serves a POST; prepare sets the connection up before the offer is applied.
func (p *plain) answering(prepare func(pc *webrtc.PeerConnection, room, id, offer string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := p.answer(r, prepare)
		switch {
		case errors.Is(err, errNotLive):
			w.Header().Set("Retry-After", "1")
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/sdp")
			w.Header().Set("Location", r.URL.Path+"/session")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, answer)
		}
	}
}

func (p *plain) answer(r *http.Request, prepare func(pc *webrtc.PeerConnection, room, id, offer string) error) (string, error) {
	offer, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return "", err
	}
	pc, err := p.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	if err := prepare(pc, r.PathValue("room"), r.PathValue("id"), string(offer)); err != nil {
		return "", errors.Join(err, pc.Close())
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: string(offer)}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

func (p *plain) publish(pc *webrtc.PeerConnection, room, id, offer string) error {
	pub := &published{pc: pc, want: strings.Count(offer, "m=audio") + strings.Count(offer, "m=video")}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rooms[room] == nil {
		p.rooms[room] = map[string]*published{}
	}
	p.rooms[room][id] = pub
	pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, remote.Kind().String()+"0", id)
		if err != nil {
			return
		}
		p.mu.Lock()
		pub.tracks = append(pub.tracks, local)
		if remote.Kind() == webrtc.RTPCodecTypeVideo {
			pub.videos = append(pub.videos, uint32(remote.SSRC()))
		}
		p.mu.Unlock()
		buf := make([]byte, 1500)
		for {
			n, _, err := remote.Read(buf)
			if err != nil {
				return
			}
			if _, err := local.Write(buf[:n]); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				return
			}
		}
	})
	return nil
}

func (p *plain) subscribe(pc *webrtc.PeerConnection, room, id, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, pub := range p.rooms[room] {
		if name == id {
			continue // nobody gets their own
		}
		if len(pub.tracks) < pub.want {
			return errNotLive
		}
		for _, t := range pub.tracks {
			sender, err := pc.AddTrack(t)
			if err != nil {
				return err
			}
			go p.feedback(pub, sender)
		}
	}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			p.mu.Lock()
			defer p.mu.Unlock()
			for name, pub := range p.rooms[room] {
				if name != id {
					pub.wishKeys()
				}
			}
		case webrtc.PeerConnectionStateFailed:
			_ = pc.Close()
		default:
		}
	})
	return nil
}

// feedback reads the RTCP of one viewer for one track: the interceptors work while it does.
func (p *plain) feedback(pub *published, sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			if _, pli := packet.(*rtcp.PictureLossIndication); pli {
				p.mu.Lock()
				pub.wishKeys()
				p.mu.Unlock()
			}
		}
	}
}

// wishKeys is called with mu held.
func (pub *published) wishKeys() {
	for _, ssrc := range pub.videos {
		_ = pub.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
	}
}
