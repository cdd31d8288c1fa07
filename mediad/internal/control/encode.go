package control

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"weever/shared/room"
)

// Encode gives the text of a message. It refuses what Parse would refuse, with an *Error: SDP above MaxMessage, JSON that is
// none, a zero full id, and so on.
func Encode(m Message) (string, error) {
	if p, ok := m.(Prepared); ok && p.text != "" {
		return p.text, nil
	}
	b, err := m.args([]byte(m.word()))
	if err != nil {
		return "", &Error{Word: m.word(), Reason: err.Error()}
	}
	if len(b) > MaxMessage {
		return "", &Error{Word: m.word(), Reason: errLong.Error()}
	}
	if !utf8.Valid(b) {
		return "", &Error{Word: m.word(), Reason: errUTF8.Error()}
	}
	return string(b), nil
}

// Prepared is a message that was encoded once, to be sent to many. Prepare makes it.
type Prepared struct {
	of   Word
	text string
}

// Prepare encodes m; the error is Encode's. Encode takes the result without looking at it again.
func Prepare(m Message) (Prepared, error) {
	text, err := Encode(m)
	return Prepared{m.word(), text}, err
}

// WordOf gives the word of a message, for logs and counters; it is empty for Unknown.
func WordOf(m Message) Word { return m.word() }

func (m SDPOffer) args(b []byte) ([]byte, error)  { return appendSDP(b, m.SDP) }
func (m SDPAnswer) args(b []byte) ([]byte, error) { return appendSDP(b, m.SDP) }
func (m PubJoin) args(b []byte) ([]byte, error)   { return appendID(b, m.Pub) }
func (m PubLeft) args(b []byte) ([]byte, error)   { return appendID(b, m.Pub) }
func (m PubAway) args(b []byte) ([]byte, error)   { return appendID(b, m.Pub) }

func (m Tracks) args(b []byte) ([]byte, error) {
	if err := checkTracks(m.Tracks); err != nil {
		return nil, err
	}
	b, err := appendID(b, m.Pub)
	if err != nil {
		return nil, err
	}
	if m.Tracks == nil {
		return append(b, " []"...), nil
	}
	return appendValue(b, m.Tracks)
}

func (m Speakers) args(b []byte) ([]byte, error) {
	if m.Speakers == nil {
		return append(b, " []"...), nil
	}
	if err := checkSpeakers(m.Speakers); err != nil {
		return nil, err
	}
	return appendValue(b, m.Speakers)
}

func (m Stats) args(b []byte) ([]byte, error) { return appendRaw(b, m.JSON, MaxMessage) }

func (m Said) args(b []byte) ([]byte, error) {
	b, err := appendID(b, m.From)
	if err != nil {
		return nil, err
	}
	return appendRaw(b, m.JSON, MaxSay)
}

func (m Reconnect) args(b []byte) ([]byte, error) {
	if err := checkReconnect(m); err != nil {
		return nil, err
	}
	b = append(append(b, ' '), m.Reason...)
	return strconv.AppendInt(append(b, ' '), int64(m.Seconds), 10), nil
}

func (m Err) args(b []byte) ([]byte, error) {
	if err := checkErr(m); err != nil {
		return nil, err
	}
	b = append(append(b, ' '), m.Word...)
	return append(append(b, ' '), m.Reason...), nil
}

func (OK) args(b []byte) ([]byte, error)     { return b, nil }
func (Stop) args(b []byte) ([]byte, error)   { return b, nil }
func (m Ping) args(b []byte) ([]byte, error) { return appendPing(b, m.Text) }
func (m Pong) args(b []byte) ([]byte, error) { return appendPing(b, m.Text) }

func (m Sub) args(b []byte) ([]byte, error)   { return appendWish(b, m.Pub, m.Tracks) }
func (m Unsub) args(b []byte) ([]byte, error) { return appendWish(b, m.Pub, m.Tracks) }

func (m SubMode) args(b []byte) ([]byte, error) {
	if err := checkMode(m.Mode); err != nil {
		return nil, err
	}
	return append(append(b, ' '), m.Mode...), nil
}

func (m Layer) args(b []byte) ([]byte, error) {
	if err := checkTrack(m.Track); err != nil {
		return nil, err
	}
	if err := checkLevel(m.Level); err != nil {
		return nil, err
	}
	b, err := appendID(b, m.Pub)
	if err != nil {
		return nil, err
	}
	b = append(append(b, ' '), m.Track...)
	return append(append(b, ' '), m.Level...), nil
}

func (m Say) args(b []byte) ([]byte, error) { return appendRaw(b, m.JSON, MaxSay) }

func (Prepared) args([]byte) ([]byte, error) { return nil, errUnprepared }

func (m Unknown) args(b []byte) ([]byte, error) { return append(b, m.Text...), nil }

func appendSDP(b []byte, sdp string) ([]byte, error) {
	if sdp == "" {
		return nil, errNoSDP
	}
	return append(append(b, ' '), sdp...), nil
}

func appendID(b []byte, id room.FullID) ([]byte, error) {
	if id.IsZero() {
		return nil, errNoID
	}
	return append(append(b, ' '), id.String()...), nil
}

func appendWish(b []byte, id room.FullID, tracks []string) ([]byte, error) {
	if len(tracks) > MaxTracks {
		return nil, errTracks
	}
	b, err := appendID(b, id)
	if err != nil {
		return nil, err
	}
	for _, t := range tracks {
		if err := checkTrack(t); err != nil {
			return nil, err
		}
		b = append(append(b, ' '), t...)
	}
	return b, nil
}

func appendPing(b []byte, text string) ([]byte, error) {
	if len(text) > MaxPing {
		return nil, errPing
	}
	if text == "" {
		return b, nil
	}
	return append(append(b, ' '), text...), nil
}

func appendRaw(b []byte, raw json.RawMessage, limit int) ([]byte, error) {
	if err := checkJSON(string(raw), limit); err != nil {
		return nil, err
	}
	return append(append(b, ' '), raw...), nil
}

func appendValue(b []byte, v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(append(b, ' '), raw...), nil
}

// oneLine reports whether s is free of control characters, line breaks among them.
func oneLine(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
