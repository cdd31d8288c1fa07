package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"weever/shared/room"
)

// This file turns records into text and back. What is read was perhaps written by a stranger or by another version: it is checked
// here, and what cannot be understood is an error, never a panic.

const (
	maxRecord = 128 << 10 // bytes of a record's JSON; an offer is at most twice that
	maxNumber = 9e15      // above it a double of Lua is no longer exact
)

// errRecord is wrapped by all errors of this file.
var errRecord = errors.New("record")

// encodePublisher checks p and returns its JSON. A fault is ours, not the network's.
func encodePublisher(p room.Publisher) (string, error) {
	if p.JoinedAt.UnixMicro() <= 0 {
		return "", fmt.Errorf("%w: joined_at is missing", errRecord)
	}
	if p.State != room.Live && p.State != room.Away {
		return "", fmt.Errorf("%w: state %q is neither live nor away", errRecord, p.State)
	}
	if err := checkSession(p.FullID, p.Session, p.Owner, p.Inc); err != nil {
		return "", err
	}
	return encode(p)
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errRecord, err)
	}
	if len(b) > maxRecord {
		return "", fmt.Errorf("%w: %d bytes, more than %d", errRecord, len(b), maxRecord)
	}
	return string(b), nil
}

// checkSession checks what both kinds of record share. The instance stands in the header between spaces.
func checkSession(id room.FullID, session string, owner room.Owner, inc int64) error {
	switch {
	case id.IsZero():
		return fmt.Errorf("%w: full_id is missing", errRecord)
	case session == "" || len(session) > 256:
		return fmt.Errorf("%w: session must be 1 to 256 bytes", errRecord)
	case owner.Instance == "" || len(owner.Instance) > 256 || strings.ContainsFunc(owner.Instance, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return fmt.Errorf("%w: instance must be 1 to 256 visible ASCII characters", errRecord)
	case inc <= 0 || inc > maxNumber:
		return fmt.Errorf("%w: inc %d is out of range", errRecord, inc)
	}
	return nil
}

// decodePublisher reads the record kept in the hash field named field. The header overrides the JSON: scripts change it alone.
func decodePublisher(field, raw string) (room.Publisher, error) {
	head := strings.SplitN(raw, " ", 6)
	if len(head) != 6 || head[0] != "1" {
		return room.Publisher{}, fmt.Errorf("%w: unknown form", errRecord)
	}
	p, err := decode[room.Publisher](head[5])
	if err != nil {
		return room.Publisher{}, err
	}
	p.Inc = number(head[1])
	p.JoinedAt = time.UnixMicro(number(head[2])).UTC()
	p.State = room.State(head[3])
	p.Owner.Instance = head[4]
	if p.State != room.Live && p.State != room.Away {
		return room.Publisher{}, fmt.Errorf("%w: unknown state", errRecord)
	}
	if p.FullID.String() != field {
		return room.Publisher{}, fmt.Errorf("%w: kept under another full id", errRecord)
	}
	return p, checkSession(p.FullID, p.Session, p.Owner, p.Inc)
}

// headerInc is the incarnation in a publisher's header, whatever follows it.
func headerInc(raw string) int64 {
	_, rest, _ := strings.Cut(raw, " ")
	inc, _, _ := strings.Cut(rest, " ")
	return number(inc)
}

// decodeSubscriber reads the record kept in the hash field named field.
func decodeSubscriber(field, raw string) (room.Subscriber, error) {
	head := strings.SplitN(raw, " ", 3)
	if len(head) != 3 || head[0] != "1" {
		return room.Subscriber{}, fmt.Errorf("%w: unknown form", errRecord)
	}
	s, err := decode[room.Subscriber](head[2])
	if err != nil {
		return room.Subscriber{}, err
	}
	s.Inc = number(head[1])
	if s.Session != field {
		return room.Subscriber{}, fmt.Errorf("%w: kept under another session", errRecord)
	}
	return s, checkSession(s.FullID, s.Session, s.Owner, s.Inc)
}

func decode[T any](body string) (v T, err error) {
	if len(body) > maxRecord {
		return v, fmt.Errorf("%w: %d bytes, more than %d", errRecord, len(body), maxRecord)
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		return v, fmt.Errorf("%w: %w", errRecord, err)
	}
	return v, nil
}

// number is the Lua function of that name: what is no number in range counts as 0.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > maxNumber {
		return 0
	}
	return n
}

// publishers decodes a whole hash, oldest first, and counts what it had to skip.
func publishers(hash map[string]string) (list []room.Publisher, skipped int) {
	list, skipped = decodeAll(hash, decodePublisher)
	slices.SortFunc(list, func(a, b room.Publisher) int {
		return cmp.Or(a.JoinedAt.Compare(b.JoinedAt), cmp.Compare(a.FullID.String(), b.FullID.String()))
	})
	return list, skipped
}

// subscribers is publishers for the other hash.
func subscribers(hash map[string]string) (list []room.Subscriber, skipped int) {
	list, skipped = decodeAll(hash, decodeSubscriber)
	slices.SortFunc(list, func(a, b room.Subscriber) int {
		return cmp.Or(a.JoinedAt.Compare(b.JoinedAt), cmp.Compare(a.FullID.String(), b.FullID.String()), cmp.Compare(a.Session, b.Session))
	})
	return list, skipped
}

func decodeAll[T any](hash map[string]string, decode func(field, raw string) (T, error)) (list []T, skipped int) {
	list = make([]T, 0, len(hash))
	for field, raw := range hash {
		v, err := decode(field, raw)
		if err != nil {
			skipped++
			continue
		}
		list = append(list, v)
	}
	return list, skipped
}
