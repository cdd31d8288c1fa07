package iceservers

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"weever/shared/testkit"
)

// allocate asks the server of a link for a relay, with the credentials of the link, and sends a packet through it and back.
func allocate(t *testing.T, l link) error {
	t.Helper()
	uri := must(stun.ParseURI(l.uri))
	conn := must(net.ListenPacket("udp4", "127.0.0.1:0"))
	c, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)), Conn: conn, Username: l.params["username"], Password: l.params["credential"],
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: t.Output()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer c.Close()
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := c.Allocate()
	if err != nil {
		return err
	}
	defer relay.Close()

	peer := must(net.ListenPacket("udp4", "127.0.0.1:0"))
	defer peer.Close()
	limit := time.Now().Add(20 * time.Second)
	for _, c := range []net.PacketConn{peer, relay} {
		if err := c.SetDeadline(limit); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 100)
	if _, err := relay.WriteTo([]byte("there"), peer.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	n, from, err := peer.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "there" || from.String() != relay.LocalAddr().String() {
		t.Fatalf("the peer got %q from %v, not %v: %v", buf[:n], from, relay.LocalAddr(), err)
	}
	if _, err := peer.WriteTo([]byte("back"), from); err != nil {
		t.Fatal(err)
	}
	if n, _, err = relay.ReadFrom(buf); err != nil || string(buf[:n]) != "back" {
		t.Fatalf("the relay brought %q: %v", buf[:n], err)
	}
	return nil
}

func wantRefused(t *testing.T, l link) {
	t.Helper()
	if err := allocate(t, l); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("%v: got %v, want to be refused", l, err)
	}
}

// What Links says opens coturn: read as a client reads it, until it expires.
func TestCoturnTakesTheCredentials(t *testing.T) {
	addr := testkit.TURN(t, "north")
	links := func(secret string, now time.Time) link {
		l := must(New(Config{Servers: []string{"stun:" + addr, "turn:" + addr + "?transport=udp"}, Secret: secret}))
		return parse8288(t, l.Links("alice-screen+tab~1_", now)[1])
	}
	good := links("north", time.Now())
	if err := allocate(t, good); err != nil {
		t.Errorf("refused: %v", err)
	}
	almostExpired := links("north", time.Now().Add(time.Minute-DefaultTTL))
	if err := allocate(t, almostExpired); err != nil {
		t.Errorf("refused: %v", err)
	}
	wantRefused(t, links("north", time.Now().Add(-time.Minute-DefaultTTL)))
	wantRefused(t, links("south", time.Now()))
	wantRefused(t, links("", time.Now()))
	// The name is signed: neither its time nor its person can be changed.
	for old, changed := range map[string]string{"alice": "bob", ":": "0:"} {
		forged := links("north", time.Now())
		forged.params["username"] = strings.Replace(forged.params["username"], old, changed, 1)
		wantRefused(t, forged)
	}
}

// The other formats open a server that writes its keys the same way.
func TestOtherFormats(t *testing.T) {
	for format, write := range map[KeyFormat]func([]byte) string{Unpadded: base64.RawStdEncoding.EncodeToString, Hex: hex.EncodeToString} {
		t.Run(string(format), func(t *testing.T) {
			conn := must(net.ListenPacket("udp4", "127.0.0.1:0"))
			log := &logging.DefaultLoggerFactory{Writer: io.Discard}
			s := must(turn.NewServer(turn.ServerConfig{
				Realm: "weever.test", LoggerFactory: log,
				AuthHandler: func(r *turn.RequestAttributes) (string, []byte, bool) {
					mac := hmac.New(sha1.New, []byte("north"))
					mac.Write([]byte(r.Username))
					return r.Username, turn.GenerateAuthKey(r.Username, r.Realm, write(mac.Sum(nil))), true
				},
				PacketConnConfigs: []turn.PacketConnConfig{{
					PacketConn: conn, RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"},
				}},
			}))
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			uri := "turn:" + conn.LocalAddr().String()
			joined := strings.Join(must(New(Config{Servers: []string{uri}, Secret: "north", Format: format})).Links("alice", time.Now()), ", ")
			if err := allocate(t, splitSimply(joined, false)[0]); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}
