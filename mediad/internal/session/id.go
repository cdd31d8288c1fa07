package session

import (
	"crypto/rand"
	"encoding/hex"
)

// A session id is 32 hex digits of randomness (128 bit: RFC 9725 section 5 asks for at least 122) and the 16 of its owner's
// instance, so that any node can tell whom to ask.
const (
	secretLen   = 16
	instanceLen = 8
)

// newID makes the id of a session owned by instance.
func newID(instance string) string {
	var b [secretLen]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:]) + instance
}

// NewInstance names a process on the bus: 16 hex digits, new at each start.
func NewInstance() string {
	var b [instanceLen]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// OwnerOf gives the instance that a session id names as its owner; false if it is no session id.
func OwnerOf(id string) (instance string, ok bool) {
	if len(id) != 2*(secretLen+instanceLen) {
		return "", false
	}
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return id[2*secretLen:], true
}
