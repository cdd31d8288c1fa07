// Package headerext knows the RTP header extensions that the node reads and writes; all others end at the first hop.
//
// Who reads a publisher asks it for the numbers of a connection, and so does an outgoing track.
package headerext

import (
	"cmp"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// OrientationURI is the extension of 3GPP TS 26.114 section 7.4.5; pion has no name for it.
const OrientationURI = "urn:3gpp:video-orientation"

// IDs are the numbers under which a peer negotiated the extensions; 0: not negotiated.
type IDs struct {
	Level, Orientation uint8
	Wide               uint8 // transport-wide sequence number: each hop counts its own

	// What a publisher's packets belong to: its section, the layer, and the layer of which they send something again (RFC 9143 section 15,
	// RFC 8852 section 3).
	Mid, Rid, Repaired uint8
}

// Of finds the numbers in what pion negotiated.
func Of(negotiated []webrtc.RTPHeaderExtensionParameter) (ids IDs) {
	for _, e := range negotiated {
		if e.ID < 1 || e.ID > 255 {
			continue
		}
		switch e.URI {
		case sdp.AudioLevelURI:
			ids.Level = uint8(e.ID)
		case OrientationURI:
			ids.Orientation = uint8(e.ID)
		case sdp.TransportCCURI:
			ids.Wide = uint8(e.ID)
		case sdp.SDESMidURI:
			ids.Mid = uint8(e.ID)
		case sdp.SDESRTPStreamIDURI:
			ids.Rid = uint8(e.ID)
		case sdp.SDESRepairRTPStreamIDURI:
			ids.Repaired = uint8(e.ID)
		}
	}
	return ids
}

// Or takes from others what is not known yet.
func (ids IDs) Or(others IDs) IDs {
	return IDs{
		Level: cmp.Or(ids.Level, others.Level), Orientation: cmp.Or(ids.Orientation, others.Orientation), Wide: cmp.Or(ids.Wide, others.Wide),
		Mid: cmp.Or(ids.Mid, others.Mid), Rid: cmp.Or(ids.Rid, others.Rid), Repaired: cmp.Or(ids.Repaired, others.Repaired),
	}
}

// OneByte drops numbers that do not fit the one-byte form of header extensions (RFC 8285 section 4.2).
func (ids IDs) OneByte() IDs {
	if ids.Level > 14 {
		ids.Level = 0
	}
	if ids.Orientation > 14 {
		ids.Orientation = 0
	}
	if ids.Wide > 14 {
		ids.Wide = 0
	}
	return ids
}
