package testkit

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// A STUN Binding request (RFC 8489 section 5) is answered as soon as TURN returns. What its credentials open is tested where they
// are made.
func TestTURNAnswers(t *testing.T) {
	c, err := net.Dial("udp", TURN(t, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := []byte("\x21\x12\xa4\x42twelve bytes")
	if _, err := c.Write(append([]byte{0, 1, 0, 0}, id...)); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(startLimit)); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 1500)
	n, err := c.Read(reply)
	if err != nil || n < 20 || reply[0] != 1 || reply[1] != 1 || !bytes.Equal(reply[4:20], id) {
		t.Fatalf("got %x, %v", reply[:n], err)
	}
}
