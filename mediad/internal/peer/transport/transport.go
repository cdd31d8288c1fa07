// Package transport says how the connections of the node are carried: which addresses they use, how long they may be silent, with what
// they are encrypted.
//
// Package peer asks it when it makes its Factory. It holds no state and starts nothing.
package transport

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// MaxMessage is the largest data-channel message taken or sent, in bytes: Chromium's own limit.
const MaxMessage = 256 << 10

// Timeouts of ICE. pion knows no consent checks (RFC 7675); any authenticated packet is taken as a sign of life, and a
// keepalive is sent after that long a silence so that there is one.
const (
	pubSilence   = 3 * time.Second // then a publisher is away
	pubKeepalive = time.Second
	subSilence   = 5 * time.Second
	subFailed    = 10 * time.Second // after the silence: 15 s in all, then a subscriber is gone
	subKeepalive = 2 * time.Second
)

// Config tells apart the kinds of connections, and says what is the same for all of a node.
type Config struct {
	Publisher  bool // media is received
	DTLSClient bool // answer "active": the offer said passive

	PublicIPs    []netip.Addr  // advertised as host candidates in place of the local addresses of their family
	Loopback     bool          // peers on loopback are welcome
	ResumeWindow time.Duration // how long a silent publisher's connection is kept
	Log          logging.LoggerFactory
}

// Settings returns what the connections of one kind share. The caller adds what is of one connection only.
func Settings(cfg Config) (*webrtc.SettingEngine, error) {
	se := &webrtc.SettingEngine{LoggerFactory: cfg.Log}
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.DisableActiveTCP(true)
	se.SetIncludeLoopbackCandidate(cfg.Loopback)
	se.SetRemoteIPFilter(func(ip net.IP) bool { return remoteAllowed(ip, cfg.Loopback) })
	if len(cfg.PublicIPs) > 0 {
		external := make([]string, len(cfg.PublicIPs))
		for i, ip := range cfg.PublicIPs {
			external[i] = ip.String()
		}
		err := se.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{
			External: external, AsCandidateType: webrtc.ICECandidateTypeHost, Mode: webrtc.ICEAddressRewriteReplace,
		})
		if err != nil {
			return nil, err
		}
	}
	if cfg.Publisher {
		se.SetICETimeouts(pubSilence, cfg.ResumeWindow+subFailed, pubKeepalive)
	} else {
		se.SetICETimeouts(subSilence, subFailed, subKeepalive)
	}
	// GCM costs a third of AES-CM with SHA-1 (RFC 7714). Chromium takes it from a DTLS server, so be that wherever the offer allows.
	se.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	se.SetDTLSInsecureSkipHelloVerify(true) // the ICE check has verified the address already
	se.DetachDataChannels()
	se.SetSCTPMaxMessageSize(MaxMessage)
	role := webrtc.DTLSRoleServer
	if cfg.DTLSClient {
		role = webrtc.DTLSRoleClient
	}
	return se, se.SetAnsweringDTLSRole(role)
}

// remoteAllowed refuses candidates that would make the node send to itself or to a cloud's metadata service.
func remoteAllowed(ip net.IP, loopback bool) bool {
	if ip.IsLoopback() {
		return loopback
	}
	if addr, ok := netip.AddrFromSlice(ip); ok && slices.Contains(metadataAddrs(), addr.Unmap()) {
		return false
	}
	return !ip.IsLinkLocalUnicast() && !ip.IsLinkLocalMulticast() && !ip.IsMulticast() && !ip.IsUnspecified()
}

// metadataAddrs are the services of clouds that answer any machine of theirs and are not link-local: AWS over IPv6, Azure, Alibaba.
func metadataAddrs() []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x0e, 3: 0xc2, 14: 0x02, 15: 0x54}),
		netip.AddrFrom4([4]byte{168, 63, 129, 16}),
		netip.AddrFrom4([4]byte{100, 100, 100, 200}),
	}
}
