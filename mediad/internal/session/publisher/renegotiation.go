package publisher

import (
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/peer"
	"weever/shared/apierr"
)

// This file takes in a publisher's later offers. Run calls it when one has come over the control channel.

// renegotiate answers a publisher's new offer over the control channel. An offer that is refused early changes nothing; one that
// fails once pion has taken it leaves the connection in between, so the session ends.
func (p *Publisher) renegotiate(text string) (string, error) {
	offer, err := peer.ParseRenegotiation(p.ICE.Present(text), knownSections(p.PC))
	if err != nil {
		return "", err
	}
	if err := p.media.Fits(offer.Sections); err != nil {
		return "", err
	}
	if err := p.PC.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP}); err != nil {
		err = apierr.Wrap(apierr.Unacceptable, err, "the offer does not continue this session")
		p.End(err)
		return "", err
	}
	answer, err := peer.Answer(p.Ctx, p.PC)
	if err == nil {
		err = p.media.Declare(offer.Sections, answer)
	}
	if err != nil {
		p.End(err)
		return "", err
	}
	p.ICE.Settle() // the offer may have restarted ICE
	p.Again()
	return answer, nil
}

// knownSections lists the mids of a publisher's last offer, true for those in use.
func knownSections(pc *webrtc.PeerConnection) map[string]bool {
	known := map[string]bool{}
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(pc.RemoteDescription().SDP); err != nil {
		return known
	}
	for _, m := range desc.MediaDescriptions {
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		_, bundled := m.Attribute("bundle-only")
		known[mid] = m.MediaName.Port.Value != 0 || bundled
	}
	return known
}
