package secure

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"go.uber.org/goleak"

	"weever/mediad/internal/udpio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// viewer is the other end: a socket, and the keys the other way round.
type viewer struct {
	conn *net.UDPConn
	mux  *udpio.Mux
	path *udpio.Path
	srtp *srtp.Context
	keys *srtp.Config // ours
}

// newViewer returns one whose address its path has learnt.
func newViewer(tb testing.TB) *viewer {
	tb.Helper()
	check := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	mux, err := udpio.Listen(udpio.Config{Interfaces: []string{"lo"}, Log: slog.New(slog.DiscardHandler)})
	check(err)
	tb.Cleanup(func() { _ = mux.Close() })
	v := &viewer{mux: mux, path: mux.Path(), keys: &srtp.Config{Profile: srtp.ProtectionProfileAeadAes128Gcm}}
	ours, theirs := slices.Repeat([]byte{1}, 16), slices.Repeat([]byte{2}, 16)
	v.keys.Keys = srtp.SessionKeys{LocalMasterKey: ours, LocalMasterSalt: ours[:12], RemoteMasterKey: theirs, RemoteMasterSalt: theirs[:12]}
	v.srtp, err = srtp.CreateContext(theirs, theirs[:12], v.keys.Profile)
	check(err)
	local := net.UDPAddrFromAddrPort(mux.Addrs()[0])
	v.conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: local.IP})
	check(err)
	tb.Cleanup(func() { _ = v.conn.Close() })
	conn, err := v.path.GetConn("ufrag", local)
	check(err)
	tb.Cleanup(func() { _ = conn.Close() })
	_, err = conn.WriteTo([]byte{128, 200, 0, 0}, v.conn.LocalAddr())
	check(err)
	return v
}

// says encrypts what the viewer would send.
func (v *viewer) says(tb testing.TB, packets ...rtcp.Packet) []byte {
	tb.Helper()
	plain, err := rtcp.Marshal(packets)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := v.srtp.EncryptRTCP(nil, plain, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// take gives a packet to a Sender, as the socket's reader does.
func (v *viewer) take(s *Sender, packet []byte) {
	s.in.Take(packet)
	s.in.Taken()
}

// counter is a Listener.
type counter struct{ told int }

func (c *counter) Feedback(*udpio.Batch, []byte) { c.told++ }

// TestFeedbackIsBounded: whoever says much costs one call for each packet and stream, and what cannot be used is counted by reason.
func TestFeedbackIsBounded(t *testing.T) {
	v := newViewer(t)
	s := New(v.path, nil)
	l := &counter{}
	s.Listen(7, l)
	refused := func(d udpio.Drop) uint64 { return v.mux.Drops(d) }
	early := v.says(t, &rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 7})
	v.take(s, early)
	if l.told != 0 || refused(udpio.FeedbackInvalid) != 1 {
		t.Fatalf("before there are keys: told %d, refused %d", l.told, refused(udpio.FeedbackInvalid))
	}
	if err := s.Open(v.keys); err != nil {
		t.Fatal(err)
	}
	v.take(s, early)
	fir := &rtcp.FullIntraRequest{SenderSSRC: 1}
	for range 100 {
		fir.FIR = append(fir.FIR, rtcp.FIREntry{SSRC: 7})
	}
	rr := &rtcp.ReceiverReport{SSRC: 1, Reports: slices.Repeat([]rtcp.ReceptionReport{{SSRC: 7}}, 31)}
	v.take(s, v.says(t, fir))
	v.take(s, v.says(t, rr))
	if l.told != 3 {
		t.Errorf("told %d times of three packets", l.told)
	}
	for name, b := range map[string][]byte{
		"repeated": early, "empty": nil, "noise": slices.Repeat([]byte{200}, 60), "too long": slices.Repeat([]byte{200}, maxReport+1),
	} {
		before := refused(udpio.FeedbackInvalid)
		if v.take(s, b); refused(udpio.FeedbackInvalid) != before+1 || l.told != 3 {
			t.Errorf("%s: refused %d, told %d", name, refused(udpio.FeedbackInvalid)-before, l.told)
		}
	}
	for ssrc := range uint32(2 * maxSenders) {
		v.take(s, v.says(t, &rtcp.PictureLossIndication{SenderSSRC: ssrc + 1, MediaSSRC: 7}))
	}
	if l.told != 3+maxSenders || refused(udpio.FeedbackSenders) != maxSenders {
		t.Errorf("of %d senders %d were heard and %d refused", 2*maxSenders, l.told-3, refused(udpio.FeedbackSenders))
	}
	s.Ignore(7)
	v.take(s, v.says(t, &rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 7}))
	s.Close()
	if n, err := s.WriteRTP(nil, &rtp.Header{Version: 2}, []byte{1}, Extras{}); n != 0 || err != nil || l.told != 3+maxSenders {
		t.Errorf("after the end: %d, %v, told %d", n, err, l.told)
	}
}

// A sender report leaves alone, or in a batch among the media, and the viewer can read it; none leaves before the keys are there or after the end.
func TestReports(t *testing.T) {
	for name, out := range map[string]*udpio.Batch{"alone": nil, "in a batch": udpio.NewBatch()} {
		t.Run(name, func(t *testing.T) {
			v := newViewer(t)
			s := New(v.path, nil)
			report := &rtcp.SenderReport{SSRC: 7, NTPTime: 1 << 40, RTPTime: 5, PacketCount: 3, OctetCount: 4}
			send := func() {
				t.Helper()
				if err := s.WriteReport(out, report); err != nil {
					t.Fatal(err)
				}
				if out != nil {
					out.Flush()
				}
			}
			send() // no keys
			if err := s.Open(v.keys); err != nil {
				t.Fatal(err)
			}
			theirs, err := srtp.CreateContext(v.keys.Keys.LocalMasterKey, v.keys.Keys.LocalMasterSalt, v.keys.Profile)
			if err != nil {
				t.Fatal(err)
			}
			send()
			if _, err := s.WriteRTP(out, &rtp.Header{Version: 2, SSRC: 7}, []byte{1, 2, 3}, Extras{}); err != nil {
				t.Fatal(err)
			}
			send()
			s.Close()
			send()
			buf := make([]byte, 1500)
			next := func() []byte {
				t.Helper()
				if err := v.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				n, err := v.conn.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				return buf[:n]
			}
			next() // that by which the path learnt the address
			for i := range 3 {
				if i == 1 {
					if plain, err := theirs.DecryptRTP(nil, next(), nil); err != nil || !slices.Equal(plain[12:], []byte{1, 2, 3}) {
						t.Errorf("%x, %v", plain, err)
					}
					continue
				}
				plain, err := theirs.DecryptRTCP(nil, next(), nil)
				if err != nil {
					t.Fatal(err)
				}
				var got rtcp.SenderReport
				if err := got.Unmarshal(plain); err != nil || got.NTPTime != report.NTPTime || got.RTPTime != 5 || got.SSRC != 7 || got.PacketCount != 3 || got.OctetCount != 4 {
					t.Errorf("%+v, %v", got, err)
				}
			}
			if err := v.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, err := v.conn.Read(buf); err == nil {
				t.Errorf("%d more bytes", n)
			}
		})
	}
}

// FuzzFeedback: an authentic viewer may still say anything.
func FuzzFeedback(f *testing.F) {
	for _, p := range []rtcp.Packet{
		&rtcp.PictureLossIndication{MediaSSRC: 7}, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 7}}},
		&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 7}}}, &rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: []rtcp.NackPair{{PacketID: 1}}},
	} {
		b, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))
	}
	s := New(nil, nil)
	s.Listen(7, &counter{})
	f.Fuzz(func(_ *testing.T, b []byte) { s.in.read(nil, b) })
}

// BenchmarkWriteRTP encrypts into a batch, which goes to a socket that nobody reads.
func BenchmarkWriteRTP(b *testing.B) {
	for _, size := range []int{100, 1160} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			v := newViewer(b)
			s := New(v.path, nil)
			if err := s.Open(v.keys); err != nil {
				b.Fatal(err)
			}
			out := udpio.NewBatch()
			h, payload := &rtp.Header{Version: 2, SSRC: 1}, make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				h.SequenceNumber++
				if _, err := s.WriteRTP(out, h, payload, Extras{}); err != nil {
					b.Fatal(err)
				}
			}
			out.Flush()
		})
	}
}

// TestWriteRTPAllocatesNothing per packet.
func TestWriteRTPAllocatesNothing(t *testing.T) {
	v := newViewer(t)
	s := New(v.path, nil)
	if err := s.Open(v.keys); err != nil {
		t.Fatal(err)
	}
	out := udpio.NewBatch()
	h, payload := &rtp.Header{Version: 2, SSRC: 1}, make([]byte, 1000)
	write := func() {
		h.SequenceNumber++
		if _, err := s.WriteRTP(out, h, payload, Extras{Padding: 3}); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if n := testing.AllocsPerRun(1000, write); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
	out.Flush()
}
