package board

import (
	"encoding/json"
	"slices"
	"strings"

	"weever/shared/apierr"
)

// Name is the name of an event, as WHEP's core extensions have it.
type Name string

// The events. Active and Inactive are two values of one state.
const (
	Active      Name = "active"      // the publisher is live
	Inactive    Name = "inactive"    // it is away or gone
	Layers      Name = "layers"      // the video layers there are
	ViewerCount Name = "viewercount" // how many watch the room
	Reconnect   Name = "reconnect"   // start anew: this session will end
)

// names has all events, each at the place of its bit in a Set.
var names = [...]Name{Active, Inactive, Layers, ViewerCount, Reconnect}

// All is every event.
const All Set = 1<<len(names) - 1

// maxNames bounds the array that a player sends; it may name one twice.
const maxNames = 32

// Set is a set of events.
type Set uint8

// Names lists all events, separated by commas.
func Names() string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = string(n)
	}
	return strings.Join(list, ",")
}

func (s Set) has(n Name) bool { return s&(1<<slices.Index(names[:], n)) != 0 }

// ParseSet reads a JSON array of event names; an empty body means all. The error is apierr.BadRequest.
func ParseSet(body []byte) (Set, error) {
	if len(body) == 0 {
		return All, nil
	}
	var list []string
	if err := json.Unmarshal(body, &list); err != nil || list == nil {
		return 0, apierr.Wrap(apierr.BadRequest, err, "send a JSON array of event names out of %s, or no body for all", Names())
	}
	if len(list) > maxNames {
		return 0, apierr.New(apierr.BadRequest, "there are only %d events: %s", len(names), Names())
	}
	var s Set
	for _, item := range list {
		n := slices.Index(names[:], Name(item))
		if n < 0 {
			return 0, apierr.New(apierr.BadRequest, "there is an event in the list that this server does not know; it has %s", Names())
		}
		s |= 1 << n
	}
	return s, nil
}
