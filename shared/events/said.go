package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"weever/shared/room"
)

// This file is what subscribers say to each other, on subjects of its own: unlike events it has no number, nobody heals it, and what
// is lost is lost. The nodes' talk packages send it and listen to it.
//
// A message is the instance of the node where it was said, the full id of who said it and a JSON value just as it was said,
// separated by single spaces.

// MaxSaid bounds the JSON of one Said, in bytes.
const MaxSaid = 16 << 10

const maxInstance = 64 // characters

// Said is something that a subscriber said to a room.
type Said struct {
	Instance string // of the node where it was said; that node hears it, too, and has to pass it over
	From     room.FullID
	JSON     json.RawMessage
}

// PublishSaid sends s to every node that listens to what is said in the room, this one included, as Publish does. What one caller
// sends arrives in order, as far as it arrives.
func (b *Bus) PublishSaid(rm room.Name, s Said) error {
	text, err := encodeSaid(s)
	if err != nil {
		return err
	}
	if err := b.nc.Publish(b.said+rm.String(), text); err != nil {
		return fmt.Errorf("publish what was said: %w", err)
	}
	return nil
}

// SubscribeSaid calls fn for what is said in the room, like Subscribe, but does not wait until the server knows of it.
func (b *Bus) SubscribeSaid(rm room.Name, fn func(Said)) (stop func(), err error) {
	return b.subscribe(b.said+rm.String(), func(m *nats.Msg) {
		s, err := decodeSaid(m.Data)
		if err != nil {
			b.drop(rm, len(m.Data), err)
			return
		}
		fn(s)
	})
}

// encodeSaid checks s as a receiver would, so that what is sent is also understood.
func encodeSaid(s Said) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	text := make([]byte, 0, len(s.Instance)+room.MaxFullID+len(s.JSON)+2)
	text = append(append(text, s.Instance...), ' ')
	text = append(append(text, s.From.String()...), ' ')
	return append(text, s.JSON...), nil
}

// decodeSaid reads a message; the result refers to text.
func decodeSaid(text []byte) (Said, error) {
	if most := maxInstance + room.MaxFullID + MaxSaid + 2; len(text) > most {
		return Said{}, fmt.Errorf("%w: %d bytes, more than %d", ErrEvent, len(text), most)
	}
	instance, rest, _ := bytes.Cut(text, []byte{' '})
	id, value, _ := bytes.Cut(rest, []byte{' '})
	from, err := room.ParseFullID(string(id))
	if err != nil {
		return Said{}, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	s := Said{Instance: string(instance), From: from, JSON: value}
	if err := s.check(); err != nil {
		return Said{}, err
	}
	return s, nil
}

func (s Said) check() error {
	switch {
	case s.Instance == "" || len(s.Instance) > maxInstance || strings.Trim(s.Instance, "0123456789abcdefghijklmnopqrstuvwxyz") != "":
		return fmt.Errorf("%w: instance is not 1 to %d of a-z 0-9", ErrEvent, maxInstance)
	case s.From.IsZero():
		return fmt.Errorf("%w: nobody said it", ErrEvent)
	case len(s.JSON) > MaxSaid:
		return fmt.Errorf("%w: %d bytes of JSON, more than %d", ErrEvent, len(s.JSON), MaxSaid)
	case !utf8.Valid(s.JSON) || !json.Valid(s.JSON):
		return fmt.Errorf("%w: no JSON", ErrEvent)
	}
	return nil
}
