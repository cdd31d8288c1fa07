// Package peer reads offers and builds the PeerConnections that answer them.
//
// The session package asks it for a connection per POST. Everything that is per node — certificate, UDP port, codecs, timeouts —
// lives in the Factory; the connection belongs to the session, which closes it.
package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/secure"
	"weever/mediad/internal/peer/allowance"
	"weever/mediad/internal/peer/codecs"
	"weever/mediad/internal/peer/dtlskeys"
	"weever/mediad/internal/peer/follow"
	"weever/mediad/internal/peer/inbound"
	"weever/mediad/internal/peer/transport"
	"weever/mediad/internal/pionlog"
	"weever/mediad/internal/udpio"
	"weever/shared/room"
)

// MaxMessage is the largest data-channel message taken or sent, in bytes.
const MaxMessage = transport.MaxMessage

// Config is what all connections of a node share.
type Config struct {
	UDPMux       *udpio.Mux
	Writers      *fanout.Writers // handle what viewers report; nil: the port's reader does
	PublicIPs    []netip.Addr    // advertised as host candidates in place of the local addresses of their family
	Loopback     bool            // peers on loopback are welcome
	ResumeWindow time.Duration   // how long a silent publisher's connection is kept
	Log          *slog.Logger
}

// Factory makes connections. It is safe for concurrent use and has nothing to stop.
type Factory struct {
	udp     *udpio.Mux
	writers *fanout.Writers
	log     *slog.Logger
	cert    webrtc.Certificate
	kits    map[variant]*kit
	pion    *pionlog.Factory
	unread  atomic.Uint64 // RTP packets, mostly of SSRCs that nobody declared
}

// kit is what the connections of one variant share. Their API is made per connection: pion's buffers are per API.
type kit struct {
	media    *webrtc.MediaEngine
	settings webrtc.SettingEngine
}

// api makes the API of one connection, whose streams are counted by a.
func (k *kit) api(a *allowance.Allowance, mux ice.UDPMux, tap *dtlskeys.Tap) *webrtc.API {
	se := k.settings
	se.SetICEUDPMux(mux)
	if tap != nil {
		tap.Watch(&se)
	}
	se.BufferFactory = a.Buffer
	se.SetICEBindingRequestHandler(follow.Handler())
	// No interceptors: package fanout answers viewers and package receipts tells publishers, both past pion.
	return webrtc.NewAPI(webrtc.WithMediaEngine(k.media), webrtc.WithSettingEngine(se), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
}

// variant names one of the kits: pion's DTLS role and codec list are per API.
type variant struct {
	role       room.Role
	dtlsClient bool // answer "active": the offer said passive
}

// New prepares a Factory; it makes the node's DTLS certificate, which lives as long as the process.
func New(cfg Config) (*Factory, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("peer: making the DTLS key: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fmt.Errorf("peer: making the DTLS certificate: %w", err)
	}
	f := &Factory{udp: cfg.UDPMux, writers: cfg.Writers, log: cfg.Log, cert: *cert, kits: map[variant]*kit{}, pion: pionlog.New(cfg.Log)}
	for _, role := range []room.Role{room.Pub, room.Sub} {
		for _, client := range []bool{false, true} {
			v := variant{role, client}
			if f.kits[v], err = newKit(cfg, v, f.pion); err != nil {
				return nil, fmt.Errorf("peer: %w", err)
			}
		}
	}
	return f, nil
}

func newKit(cfg Config, v variant, log *pionlog.Factory) (*kit, error) {
	me, err := codecs.MediaEngine(v.role == room.Pub)
	if err != nil {
		return nil, err
	}
	se, err := transport.Settings(transport.Config{
		Publisher: v.role == room.Pub, DTLSClient: v.dtlsClient,
		PublicIPs: cfg.PublicIPs, Loopback: cfg.Loopback, ResumeWindow: cfg.ResumeWindow, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return &kit{media: me, settings: *se}, nil
}

// Drops is how many packets pion has dropped in the connections of this Factory, by reason; all reasons are there. "unread" are authentic
// ones of streams that nobody reads: they are counted when their stream ends, or when it holds as many as it may.
func (f *Factory) Drops() map[string]uint64 {
	n := f.pion.Drops()
	n["unread"] = f.unread.Load()
	return n
}

// Conn is a connection that answers an offer.
type Conn struct {
	*webrtc.PeerConnection

	// Out sends RTP to a viewer, In receives a publisher's. Each is nil for the other, and where the node is the DTLS client: then pion does it.
	Out *secure.Sender
	In  *inbound.Receiver
}

// Accept makes a connection for the offer and applies the offer to it. The caller owns the connection and must Close it.
func (f *Factory) Accept(o *Offer) (*Conn, error) {
	streams := allowance.New(o.Role == room.Pub, &f.unread)
	c := &Conn{}
	var mux ice.UDPMux = f.udp
	var tap *dtlskeys.Tap
	var past session
	if !o.dtlsPassive {
		path := f.udp.Path()
		mux, tap = path, &dtlskeys.Tap{}
		if o.Role == room.Sub {
			c.Out = secure.New(path, f.writers)
			past = c.Out
		} else {
			c.In = inbound.New(path)
			past = c.In
		}
	}
	var err error
	c.PeerConnection, err = f.kits[variant{o.Role, o.dtlsPassive}].api(streams, mux, tap).NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{f.cert},
		BundlePolicy: webrtc.BundlePolicyMaxBundle,
		SDPSemantics: webrtc.SDPSemanticsUnifiedPlan,
	})
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	if tap != nil {
		f.opens(c, past, tap)
	}
	streams.Guard(c.PeerConnection)
	if err := c.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: o.SDP}); err != nil {
		_ = c.Close()
		return nil, badSDP(err, "the offer was parsed but could not be applied")
	}
	return c, nil
}

// session is what does SRTP past pion.
type session interface {
	Open(keys *srtp.Config) error
	Close()
}

// opens has SRTP opened when DTLS is connected, and keeps the way out turned to where pion finds the peer.
func (f *Factory) opens(c *Conn, past session, tap *dtlskeys.Tap) {
	dtlsTransport := c.SCTP().Transport()
	dtlsTransport.OnStateChange(func(s webrtc.DTLSTransportState) {
		switch s {
		case webrtc.DTLSTransportStateConnected:
			keys, err := tap.Config()
			if err == nil {
				err = past.Open(keys)
			}
			if err != nil {
				f.log.Error("a connection without keys for media is closed", "err", err)
				go func() { _ = c.Close() }() // pion holds the transport's lock
			}
		case webrtc.DTLSTransportStateClosed, webrtc.DTLSTransportStateFailed:
			past.Close()
		}
	})
	dtlsTransport.ICETransport().OnSelectedCandidatePairChange(func(*webrtc.ICECandidatePair) { c.point(pointings) })
}

// How udpio.Path is shown where pion finds the peer: as often as this, as long as pion cannot send yet, and then once more, for somebody may
// have been in the middle of writing to where the peer was before.
const (
	pointAgain = 200 * time.Millisecond
	pointings  = 2
)

// point has pion send an empty report, which is to be seen.
func (c *Conn) point(times int) {
	if c.ConnectionState() == webrtc.PeerConnectionStateClosed {
		return
	}
	if c.WriteRTCP([]rtcp.Packet{&rtcp.ReceiverReport{}}) == nil {
		times--
	}
	if times > 0 {
		time.AfterFunc(pointAgain, func() { c.point(times) })
	}
}
