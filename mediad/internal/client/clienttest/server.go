// Package clienttest is a small SFU in one process, for tests of what speaks to a node.
//
// It keeps the words and paths of a node and makes no effort at its speed or its care: no authentication but one token, no
// limits, one room per name, everything on the loopback interface. Only tests import it.
package clienttest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/sdpfrag"
)

// Server is a running SFU. New stops it when the test ends.
type Server struct {
	URL    string
	Client *http.Client // for callers; its connections are closed with the server

	token string
	tb    testing.TB

	mu       sync.Mutex // guards all below and what hangs from it
	counter  int
	sessions map[string]*session // by path
	rooms    map[string]*room
	refuse   int            // status to refuse the next POST with; 0: none
	tasks    sync.WaitGroup // each session has one, until it is out of sessions and closed
}

type room struct {
	pubs map[string]*session // by full id
	subs map[*session]bool
}

// New starts a server. With a token, every POST must carry it.
func New(tb testing.TB, token string) *Server {
	tb.Helper()
	s := &Server{tb: tb, token: token, sessions: make(map[string]*session), rooms: make(map[string]*room)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{role}/{room}/{id}", s.post)
	mux.HandleFunc("PATCH /{role}/{room}/{id}/{session}", s.patch)
	mux.HandleFunc("DELETE /{role}/{room}/{id}/{session}", s.delete)
	web := httptest.NewServer(mux)
	s.URL, s.Client = web.URL, web.Client()
	tb.Cleanup(func() {
		// First, and it waits for the POSTs under way: pion makes a new ICE agent, which nobody ends, for a connection that is
		// closed before it has one.
		web.Close()
		s.mu.Lock()
		var open []*session
		for _, e := range s.sessions {
			open = append(open, e)
		}
		s.mu.Unlock()
		for _, e := range open {
			s.end(e)
		}
		s.tasks.Wait()
	})
	return s
}

// Refuse makes the next POST fail with the status.
func (s *Server) Refuse(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = status
}

// Sessions is the number of sessions that have not ended.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Rids lists the simulcast layers that have come from a publisher.
func (s *Server) Rids(roomName, id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.sessions {
		if e.room == roomName && e.id == id && e.role == "pub" {
			return append([]string(nil), e.rids...)
		}
	}
	return nil
}

// Kick closes all sessions of a full id in an orderly way.
func (s *Server) Kick(roomName, id string) {
	s.mu.Lock()
	var kicked []*session
	for _, e := range s.sessions {
		if e.room == roomName && e.id == id {
			kicked = append(kicked, e)
		}
	}
	s.mu.Unlock()
	for _, e := range kicked {
		s.end(e)
	}
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	refuse := s.refuse
	s.refuse = 0
	s.mu.Unlock()
	switch {
	case err != nil:
		return
	case refuse != 0:
		w.Header().Set("Retry-After", "3")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(refuse)
		fmt.Fprint(w, `{"detail":"the test wants it so"}`)
		return
	case s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token:
		http.Error(w, "bad token", http.StatusUnauthorized)
		return
	}
	if r.PathValue("role") == "sub" && !strings.Contains(string(body), "m=application") && !s.anyLive(r.PathValue("room")) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusConflict)
		return
	}
	e, err := s.open(r.PathValue("role"), r.PathValue("room"), r.PathValue("id"))
	if err != nil {
		s.fail(w, err)
		return
	}
	answer, err := e.first(string(body))
	if err != nil {
		s.end(e)
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", e.path)
	w.Header().Set("ETag", `"1"`)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer)
}

func (s *Server) anyLive(roomName string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[roomName]
	return r != nil && len(r.pubs) > 0
}

func (s *Server) patch(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e := s.find(r.URL.Path)
	if e == nil {
		http.NotFound(w, r)
		return
	}
	f, err := sdpfrag.Parse(body, "")
	switch {
	case r.Header.Get("Content-Type") != sdpfrag.ContentType:
		w.WriteHeader(http.StatusUnsupportedMediaType)
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case r.Header.Get("If-Match") == "*":
		reply, err := e.restart(f)
		if err != nil {
			s.fail(w, err)
			return
		}
		w.Header().Set("Content-Type", sdpfrag.ContentType)
		w.Header().Set("ETag", `"2"`)
		_, _ = io.WriteString(w, reply)
	case r.Header.Get("If-Match") != `"1"`:
		w.WriteHeader(http.StatusPreconditionFailed)
	default:
		for _, c := range f.Candidates {
			if err := e.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c}); err != nil {
				s.fail(w, err)
				return
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) delete(w http.ResponseWriter, r *http.Request) {
	e := s.find(r.URL.Path)
	if e == nil {
		http.NotFound(w, r)
		return
	}
	s.end(e)
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, "%v", err)
}

func (s *Server) find(path string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[path]
}

// open makes a session that is known but not connected.
func (s *Server) open(role, roomName, id string) (*session, error) {
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	registry, err := interceptors(media)
	if err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counter++
	e := &session{server: s, pc: pc, role: role, room: roomName, id: id, number: s.counter, path: fmt.Sprintf("/%s/%s/%s/%d", role, roomName, id, s.counter)}
	s.sessions[e.path] = e
	r := s.rooms[roomName]
	if r == nil {
		r = &room{pubs: make(map[string]*session), subs: make(map[*session]bool)}
		s.rooms[roomName] = r
	}
	e.in = r
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			s.mu.Lock()
			e.wishKeys()
			s.mu.Unlock()
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			s.end(e)
		default:
		}
	})
	return e, nil
}

// end takes a session out of everything and closes it, in the background. Once is enough.
func (s *Server) end(e *session) {
	s.mu.Lock()
	if s.sessions[e.path] == nil {
		s.mu.Unlock()
		return
	}
	delete(s.sessions, e.path)
	delete(e.in.subs, e)
	gone := e.in.pubs[e.id] == e
	if gone {
		delete(e.in.pubs, e.id)
		for sub := range e.in.subs {
			sub.say("PUB_LEFT " + e.id)
			sub.park(e.id)
		}
	}
	s.tasks.Go(func() { _ = e.pc.GracefulClose() })
	s.mu.Unlock()
}
