package relay

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"weever/shared/room"
)

// ErrKey is wrapped by errors about a key that cannot be a subject.
var ErrKey = errors.New("invalid stream key")

// Key names one layer of one track of one publishing session.
type Key struct {
	Room      room.Name
	Publisher room.FullID
	Inc       int64  // incarnation of the session
	Track     string // "video0"
	Layer     string // simulcast rid; "": the only layer
}

// noLayer stands for the unnamed layer in subjects, and is therefore no name for one.
const noLayer = "_"

// part is what a track or layer may be called. Layer names come from a publisher's SDP.
var part = regexp.MustCompile(`^[A-Za-z0-9_-]{1,16}$`)

// subject returns the NATS subject of k behind prefix. Room and publisher were validated when their types were made: none of
// their characters means anything in a subject.
func (k Key) subject(prefix string) (string, error) {
	layer := k.Layer
	switch {
	case k.Room.IsZero() || k.Publisher.IsZero():
		return "", fmt.Errorf("%w: room and publisher are needed", ErrKey)
	case !part.MatchString(k.Track):
		return "", fmt.Errorf("%w: track must be 1 to 16 characters of A-Z a-z 0-9 _ -", ErrKey)
	case layer == "":
		layer = noLayer
	case layer == noLayer || !part.MatchString(layer):
		return "", fmt.Errorf("%w: layer must be 1 to 16 characters of A-Z a-z 0-9 _ -, and not %q alone", ErrKey, noLayer)
	}
	return prefix + k.Room.String() + "." + k.Publisher.String() + "." + strconv.FormatInt(k.Inc, 10) + "." + k.Track + "." + layer, nil
}
