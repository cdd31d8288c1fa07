package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"weever/mediad/internal/eventstream"
	"weever/mediad/internal/player"
	"weever/mediad/internal/player/board"
	"weever/mediad/internal/player/layer"
	"weever/shared/apierr"
	"weever/shared/room"
)

// This file serves WHEP's two core extensions to players without a control channel: server-sent events and the choice of a video layer
// (draft-ietf-wish-whep, core extensions).

const (
	jsonType = "application/json"
	maxJSON  = 4 << 10 // bytes of a body
)

func (a *api) extensions(mux *http.ServeMux) {
	const session = "/sub/{room}/{id}/{session}"
	mux.Handle(session+"/events", a.serve(room.Sub, a.events))
	mux.Handle(session+"/events/{stream}", a.serve(room.Sub, a.eventStream))
	mux.Handle(session+"/layer", a.serve(room.Sub, a.layer))
}

// linkExtensions says where the extensions of a session are, whose Location is in h. Each Link has a line of its own: not all clients
// take a list apart.
func linkExtensions(h http.Header) {
	session := h.Get("Location")
	h.Add("Link", "<"+session+`/events>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="`+board.Names()+`"`)
	h.Add("Link", "<"+session+`/layer>; rel="urn:ietf:params:whep:ext:core:layer"`)
}

// extension finds the player that a request is about, wherever it is, and has fn answer. methods are those that fn knows, as Allow
// lists them.
func (a *api) extension(w http.ResponseWriter, r *request, methods string, fn func(*player.Player) error) error {
	h := w.Header()
	switch {
	case r.Method == http.MethodOptions:
		h.Set("Allow", methods+", OPTIONS")
		if methods == http.MethodPost {
			h.Set("Accept-Post", jsonType)
		} else {
			h.Del("Accept-Post")
		}
		w.WriteHeader(http.StatusOK)
		return nil
	case !slices.Contains(strings.Split(methods, ", "), r.Method):
		h.Set("Allow", methods+", OPTIONS")
		return apierr.New(apierr.BadMethod, "this is for %s", methods)
	}
	id := r.PathValue("session")
	if done, err := a.foreign(w, r, id); done {
		return err
	}
	if err := a.mayTouch(r, id); err != nil {
		return err
	}
	p, err := a.Sessions.Player(r.room, r.full, id)
	if err != nil {
		return err
	}
	h.Set("Cache-Control", "no-store")
	return fn(p)
}

// events opens event streams.
func (a *api) events(w http.ResponseWriter, r *request) error {
	return a.extension(w, r, "POST", func(p *player.Player) error {
		body, err := a.readJSON(w, r)
		if err != nil {
			return err
		}
		want, err := board.ParseSet(body)
		if err != nil {
			return err
		}
		id, err := p.Board().Open(want)
		if err != nil {
			return err
		}
		w.Header().Set("Location", a.streamPath(r, id))
		w.WriteHeader(http.StatusCreated)
		return nil
	})
}

func (a *api) streamPath(r *request, stream string) string {
	return "/sub/" + r.room.String() + "/" + r.full.String() + "/" + r.PathValue("session") + "/events/" + stream
}

// eventStream lets a player read a stream, or end it. Reading takes long and so is not relayed by other nodes: they pass on where to.
func (a *api) eventStream(w http.ResponseWriter, r *request) error {
	return a.extension(w, r, "GET, HEAD, DELETE", func(p *player.Player) error {
		id := r.PathValue("stream")
		gone := apierr.New(apierr.NotFound, "no such event stream; open one with POST on .../events")
		switch {
		case r.Method == http.MethodDelete:
			if !p.Board().Delete(id) {
				return gone
			}
			w.WriteHeader(http.StatusOK)
			return nil
		case !p.Board().Has(id):
			return gone
		case r.Method == http.MethodHead:
			w.Header().Set("Content-Type", eventstream.ContentType)
			w.WriteHeader(http.StatusOK)
			return nil
		}
		if _, relayed := w.(*recorder); relayed {
			w.Header().Set("Location", a.Self+a.streamPath(r, id))
			w.WriteHeader(http.StatusTemporaryRedirect)
			return nil
		}
		reader, ok := p.Board().Attach(id)
		if !ok {
			return gone
		}
		defer reader.Detach()
		if r.Header.Get("Origin") == "null" {
			// A page that was redirected here has lost its origin on the way. It was allowed where it came from, the URL is secret,
			// and no cookie goes with it.
			w.Header().Set("Access-Control-Allow-Origin", "*")
		}
		eventstream.Send(r.Context(), w, reader)
		return nil
	})
}

// layer takes in a player's choice of a video layer.
func (a *api) layer(w http.ResponseWriter, r *request) error {
	return a.extension(w, r, "POST", func(p *player.Player) error {
		body, err := a.readJSON(w, r)
		if err != nil {
			return err
		}
		wish, err := layer.Parse(body)
		if err != nil {
			return err
		}
		if err := p.Select(wish); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

// readJSON reads a body of JSON. An empty one needs no type.
func (a *api) readJSON(w http.ResponseWriter, r *request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if err := a.contentType(w, r, jsonType); err != nil {
		return nil, err
	}
	return readBody(w, r, maxJSON)
}
