package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"weever/shared/room"
)

// Side is who wrote a message. Either side listens only to the words the other one may say.
type Side uint8

// The two sides of the channel.
const (
	FromClient Side = 1 << iota
	FromServer
)

// Error says what is wrong with a message whose word is known, in words that may be shown to whoever wrote it. They never
// repeat the message.
type Error struct {
	Word   Word // MESSAGE when it is wrong as a whole
	Reason string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("control message %s: %s", e.Word, e.Reason) }

// Reply is the ERR that tells the other side.
func (e *Error) Reply() Err { return Err{Word: e.Word, Reason: e.Reason} }

// The rules that a message may break.
var (
	errLong       = fmt.Errorf("is longer than %d bytes", MaxMessage)
	errUTF8       = errors.New("is not UTF-8 text")
	errNoSDP      = errors.New("the session description is missing")
	errNoID       = errors.New("a full id is missing")
	errOneID      = errors.New("takes one full id and nothing else")
	errTrack      = errors.New("a track is audio or video and a number of at most three digits")
	errTracks     = fmt.Errorf("more than %d tracks", MaxTracks)
	errTrackList  = errors.New("is not a list of tracks")
	errSpeakers   = errors.New("is not a list of speakers")
	errJSON       = errors.New("is not valid JSON")
	errPing       = fmt.Errorf("text is longer than %d bytes", MaxPing)
	errNoArgs     = errors.New("takes no argument")
	errMode       = errors.New("the mode is auto or manual")
	errLayer      = errors.New("takes a full id, a track and a level")
	errLevel      = errors.New("the level is high, mid, low, off or auto")
	errReconnect  = fmt.Errorf("takes a word of at most 32 characters a-z 0-9 _ - and a number of seconds up to %d", MaxReconnect)
	errUnprepared = errors.New("has not been prepared")
	errErr        = fmt.Errorf("takes a word and one line of at most %d bytes", MaxReason)
)

// words says for each word who may say it and how its arguments are read.
var words = map[Word]struct {
	from Side
	read func(args string) (Message, error)
}{
	WordSDPOffer:  {FromClient | FromServer, func(a string) (Message, error) { return SDPOffer{a}, need(a, errNoSDP) }},
	WordSDPAnswer: {FromClient | FromServer, func(a string) (Message, error) { return SDPAnswer{a}, need(a, errNoSDP) }},
	WordPubJoin:   {FromServer, func(a string) (Message, error) { id, err := readID(a); return PubJoin{id}, err }},
	WordPubLeft:   {FromServer, func(a string) (Message, error) { id, err := readID(a); return PubLeft{id}, err }},
	WordPubAway:   {FromServer, func(a string) (Message, error) { id, err := readID(a); return PubAway{id}, err }},
	WordTracks:    {FromServer, readTracks},
	WordSpeakers:  {FromServer, readSpeakers},
	WordStats:     {FromServer, func(a string) (Message, error) { return Stats{json.RawMessage(a)}, checkJSON(a, MaxMessage) }},
	WordSaid:      {FromServer, readSaid},
	WordReconnect: {FromServer, readReconnect},
	WordErr:       {FromServer, readErr},
	WordOK:        {FromServer, func(a string) (Message, error) { return OK{}, none(a) }},
	WordPong:      {FromServer, func(a string) (Message, error) { return Pong{a}, atMost(a, MaxPing, errPing) }},
	WordStop:      {FromClient, func(a string) (Message, error) { return Stop{}, none(a) }},
	WordSub:       {FromClient, func(a string) (Message, error) { id, t, err := readWish(a); return Sub{id, t}, err }},
	WordUnsub:     {FromClient, func(a string) (Message, error) { id, t, err := readWish(a); return Unsub{id, t}, err }},
	WordSubMode:   {FromClient, func(a string) (Message, error) { m := Mode(trim(a)); return SubMode{m}, checkMode(m) }},
	WordLayer:     {FromClient, readLayer},
	WordSay:       {FromClient, func(a string) (Message, error) { return Say{json.RawMessage(a)}, checkJSON(a, MaxSay) }},
	WordPing:      {FromClient, func(a string) (Message, error) { return Ping{a}, atMost(a, MaxPing, errPing) }},
}

// Parse reads one message that the given side wrote. Whatever that side has no word for is Unknown. The error is an *Error; the
// message is nil then. The result does not refer to data.
func Parse(from Side, data []byte) (Message, error) {
	if len(data) > MaxMessage {
		return nil, &Error{Word: wordMessage, Reason: errLong.Error()}
	}
	if !utf8.Valid(data) {
		return nil, &Error{Word: wordMessage, Reason: errUTF8.Error()}
	}
	text := string(data)
	head, args, _ := strings.Cut(text, " ")
	w := Word(trim(head))
	entry, known := words[w]
	if !known || entry.from&from == 0 {
		return Unknown{text}, nil
	}
	m, err := entry.read(args)
	if err != nil {
		return nil, &Error{Word: w, Reason: err.Error()}
	}
	return m, nil
}

func readTracks(a string) (Message, error) {
	id, rest, _ := strings.Cut(a, " ")
	pub, err := room.ParseFullID(id)
	if err != nil {
		return nil, err
	}
	var list []Track
	if json.Unmarshal([]byte(rest), &list) != nil {
		return nil, errTrackList
	}
	return Tracks{pub, list}, checkTracks(list)
}

func readSpeakers(a string) (Message, error) {
	var list []Speaker
	if json.Unmarshal([]byte(a), &list) != nil {
		return nil, errSpeakers
	}
	return Speakers{list}, checkSpeakers(list)
}

func readSaid(a string) (Message, error) {
	id, rest, _ := strings.Cut(a, " ")
	from, err := room.ParseFullID(id)
	if err != nil {
		return nil, err
	}
	return Said{from, json.RawMessage(rest)}, checkJSON(rest, MaxSay)
}

func readReconnect(a string) (Message, error) {
	f := strings.Fields(a)
	if len(f) != 2 {
		return nil, errReconnect
	}
	secs, err := strconv.Atoi(f[1])
	if err != nil {
		return nil, errReconnect
	}
	m := Reconnect{f[0], secs}
	return m, checkReconnect(m)
}

func readErr(a string) (Message, error) {
	w, reason, _ := strings.Cut(a, " ")
	m := Err{Word(w), reason}
	return m, checkErr(m)
}

func readLayer(a string) (Message, error) {
	f := strings.Fields(a)
	if len(f) != 3 {
		return nil, errLayer
	}
	pub, err := room.ParseFullID(f[0])
	if err != nil {
		return nil, err
	}
	m := Layer{pub, f[1], Level(f[2])}
	if err := checkTrack(m.Track); err != nil {
		return nil, err
	}
	return m, checkLevel(m.Level)
}

func readID(a string) (room.FullID, error) {
	f := strings.Fields(a)
	if len(f) != 1 {
		return room.FullID{}, errOneID
	}
	return room.ParseFullID(f[0])
}

func readWish(a string) (room.FullID, []string, error) {
	f := strings.Fields(a)
	if len(f) == 0 {
		return room.FullID{}, nil, errNoID
	}
	id, err := room.ParseFullID(f[0])
	if err != nil {
		return room.FullID{}, nil, err
	}
	if len(f) == 1 {
		return id, nil, nil
	}
	if len(f)-1 > MaxTracks {
		return room.FullID{}, nil, errTracks
	}
	for _, t := range f[1:] {
		if err := checkTrack(t); err != nil {
			return room.FullID{}, nil, err
		}
	}
	return id, f[1:], nil
}

func checkTrack(s string) error {
	digits, audio := strings.CutPrefix(s, "audio")
	if !audio {
		var video bool
		if digits, video = strings.CutPrefix(s, "video"); !video {
			return errTrack
		}
	}
	if len(digits) < 1 || len(digits) > 3 || strings.Trim(digits, "0123456789") != "" {
		return errTrack
	}
	return nil
}

func checkTracks(list []Track) error {
	if len(list) > MaxTracks {
		return errTracks
	}
	for _, t := range list {
		if err := checkTrack(t.ID); err != nil {
			return err
		}
	}
	return nil
}

// checkSpeakers finds entries without an id: JSON that lacks the key was validated by nobody.
func checkSpeakers(list []Speaker) error {
	for _, s := range list {
		if s.Pub.IsZero() {
			return errNoID
		}
	}
	return nil
}

func checkMode(m Mode) error {
	if m != ModeAuto && m != ModeManual {
		return errMode
	}
	return nil
}

func checkLevel(l Level) error {
	switch l {
	case LevelHigh, LevelMid, LevelLow, LevelOff, LevelAuto:
		return nil
	}
	return errLevel
}

func checkReconnect(m Reconnect) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789_-"
	if m.Reason == "" || len(m.Reason) > 32 || strings.Trim(m.Reason, letters) != "" || m.Seconds < 0 || m.Seconds > MaxReconnect {
		return errReconnect
	}
	return nil
}

func checkErr(m Err) error {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	if m.Word == "" || len(m.Word) > 32 || strings.Trim(string(m.Word), letters) != "" || len(m.Reason) > MaxReason || !oneLine(m.Reason) {
		return errErr
	}
	return nil
}

func checkJSON(s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("JSON is longer than %d bytes", limit)
	}
	if !json.Valid([]byte(s)) {
		return errJSON
	}
	return nil
}

func need(s string, otherwise error) error {
	if s == "" {
		return otherwise
	}
	return nil
}

func none(s string) error {
	if trim(s) != "" {
		return errNoArgs
	}
	return nil
}

func atMost(s string, limit int, otherwise error) error {
	if len(s) > limit {
		return otherwise
	}
	return nil
}

// trim drops the line end that hand-written clients like to append.
func trim(s string) string { return strings.TrimRight(s, " \r\n\t") }
