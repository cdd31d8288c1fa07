package controlapi

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/room"
)

const (
	maxBody    = 16 << 10 // bytes of a create request
	maxToken   = 4096     // characters
	defaultTTL = 24 * time.Hour
	maxTTL     = 30 * 24 * time.Hour
)

// createRequest is a valid body of POST /create/{role}.
type createRequest struct {
	room  room.Name
	id    room.ID
	token string // "": make one
	grant auth.Grant
	ttl   time.Duration
}

// created is the JSON answer: the only one that ever holds a token.
type created struct {
	Room      room.Name `json:"room"`
	ID        room.ID   `json:"id"`
	Role      room.Role `json:"role"`
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// create sets a token. The original clients send a token and read the text "pub set"; who sends none gets JSON whatever the
// Accept header says, since plain text could not carry the token that was made.
func (a *api) create(role room.Role) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		body, err := readJSON(w, r)
		if err != nil {
			return err
		}
		req, err := parseCreate(body)
		if err != nil {
			return err
		}
		asJSON := apierr.AcceptsJSON(r)
		if req.token == "" {
			req.token, asJSON = auth.NewToken(), true
		}
		expires, err := a.tokens.SetToken(r.Context(), req.room, role, req.id, req.token, req.grant, req.ttl)
		if err != nil {
			return err
		}
		a.log.Info("token set", "room", req.room, "role", role, "peer", req.id, "expires", expires)
		if !asJSON {
			return sendText(w, string(role)+" set")
		}
		return sendJSON(w, created{Room: req.room, ID: req.id, Role: role, Token: req.token, ExpiresAt: expires})
	}
}

// readJSON reads a body that says it is JSON and is not too large.
func readJSON(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mt != "application/json" {
		return nil, apierr.New(apierr.BadType, "send the request as Content-Type: application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, apierr.New(apierr.TooLarge, "the body must be at most %d bytes", maxBody)
	case err != nil:
		return nil, apierr.Wrap(apierr.BadRequest, err, "the body could not be read")
	}
	return body, nil
}

// parseCreate reads the body strictly: keys as they are spelled here, unknown ones ignored. (Decoding into a struct would take
// "ROOM" for "room", and somebody who checked "room" before us would not.)
func parseCreate(body []byte) (createRequest, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return createRequest{}, apierr.New(apierr.BadRequest, `the body must be a JSON object like {"room":"lobby","id":"alice"}`)
	}
	req := createRequest{ttl: defaultTTL}
	var name, id string
	for _, f := range []struct {
		key  string
		into *string
	}{{"room", &name}, {"id", &id}, {"token", &req.token}} {
		raw, ok := fields[f.key]
		if !ok {
			continue
		}
		if err := json.Unmarshal(raw, f.into); err != nil {
			return createRequest{}, apierr.New(apierr.BadRequest, "%s must be a string", f.key)
		}
	}
	var err error
	if req.room, err = room.ParseName(name); err != nil {
		return createRequest{}, badName(err)
	}
	if req.id, err = room.ParseID(id); err != nil {
		return createRequest{}, badName(err)
	}
	if !sendable(req.token) {
		return createRequest{}, apierr.New(apierr.BadRequest,
			"token must be at most %d visible ASCII characters: others cannot be sent as a bearer", maxToken)
	}
	if raw, ok := fields["ttl_seconds"]; ok && string(raw) != "null" {
		var seconds int64
		if err := json.Unmarshal(raw, &seconds); err != nil || seconds < 1 || seconds > int64(maxTTL/time.Second) {
			return createRequest{}, apierr.New(apierr.BadRequest, "ttl_seconds must be a whole number from 1 to %d", maxTTL/time.Second)
		}
		req.ttl = time.Duration(seconds) * time.Second
	}
	if raw, ok := fields["say"]; ok && json.Unmarshal(raw, &req.grant.Say) != nil {
		return createRequest{}, apierr.New(apierr.BadRequest, "say must be true or false")
	}
	return req, nil
}

// sendable reports whether a token arrives as it was written when it is sent in an Authorization header: a space within survives
// the way, one at an end does not.
func sendable(token string) bool {
	if len(token) > maxToken || strings.TrimSpace(token) != token {
		return false
	}
	for i := range len(token) {
		if token[i] < ' ' || token[i] > '~' {
			return false
		}
	}
	return true
}
