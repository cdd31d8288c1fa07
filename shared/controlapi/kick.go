package controlapi

import (
	"net/http"

	"weever/shared/room"
)

// kick revokes a person's token and has all the person's sessions closed: those of the id, its full ids and its screen share,
// whichever of them the path names. 204 says that it is decided; the nodes act on their own, within two seconds.
// Kicking somebody who is not there is no error: the token may have been unused.
func (a *api) kick(role room.Role) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		rm, err := roomOf(r)
		if err != nil {
			return err
		}
		id, err := room.ParseID(r.PathValue("id"))
		if err != nil {
			return badName(err)
		}
		if err := a.tokens.Kick(r.Context(), rm, role, id); err != nil {
			return err
		}
		a.log.Info("kicked", "room", rm, "role", role, "peer", id)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}
