package privateapi

import (
	"errors"
	"io"
	"net/http"
	"time"

	"weever/mediad/internal/drain"
	"weever/shared/apierr"
)

// This file serves /preStop, the hook that Kubernetes, an autoscaling group or a person calls before a node is stopped.

// preStop drains the node and answers when it is done; who hangs up meanwhile does not end the drain. With ?cancel=1 it calls the drain
// off.
func (cfg *Config) preStop(w http.ResponseWriter, r *http.Request) {
	if err := cfg.mayDrain(w, r); err != nil {
		apierr.Write(w, r, err)
		return
	}
	conn := http.NewResponseController(w) // a drain takes longer than any request may
	_ = conn.SetReadDeadline(time.Time{})
	_ = conn.SetWriteDeadline(time.Time{})
	if r.URL.Query().Get("cancel") != "" {
		cfg.cancelDrain(w, r)
		return
	}
	left, err := cfg.Drain.Start().Wait(r.Context())
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, map[string]any{"drained": true, "left": left})
	case errors.Is(err, drain.ErrOff):
		writeJSON(w, http.StatusConflict, map[string]any{"drained": false, "cancelled": true, "left": left})
	default:
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"drained": false, "left": left})
	}
}

func (cfg *Config) cancelDrain(w http.ResponseWriter, r *http.Request) {
	cancelled, err := cfg.Drain.Cancel(r.Context())
	if err != nil {
		apierr.Write(w, r, apierr.Wrap(apierr.Superseded, err, "the node has been told to end: its drain cannot be called off any more"))
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"cancelled": cancelled})
}

// mayDrain refuses what a page of the web could send unasked: where there is no admin token, whoever reaches the port is trusted. A
// form has an Origin in every browser, and a body in most cases.
func (cfg *Config) mayDrain(w http.ResponseWriter, r *http.Request) error {
	get := r.Method == http.MethodGet && cfg.AdminToken != ""
	if r.Method != http.MethodPost && !get {
		w.Header().Set("Allow", http.MethodPost)
		return apierr.New(apierr.BadMethod, "use POST; GET is for nodes with an --admin-token")
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return apierr.Wrap(apierr.Forbidden, err, "this is not for pages of other origins")
	}
	if n, _ := io.ReadFull(r.Body, make([]byte, 1)); n > 0 {
		return apierr.New(apierr.BadRequest, "send no body")
	}
	switch r.URL.Query().Get("cancel") {
	case "", "1":
	default:
		return apierr.New(apierr.BadRequest, "cancel can be 1 and nothing else")
	}
	if get && r.URL.Query().Has("cancel") {
		return apierr.New(apierr.BadMethod, "use POST to call a drain off")
	}
	return nil
}
