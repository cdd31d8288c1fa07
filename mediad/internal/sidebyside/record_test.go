package sidebyside

import (
	"context"
	"flag"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client/recording"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/client/wire"
	"weever/shared/testkit/chromium"
)

// This file makes the recording that the traffic model `browser` plays: Chromium publishes to a receiver on loopback, which notes when
// the kernel got each packet. The test does so for a moment; with -record it does so for ten seconds and writes the file.
var record = flag.Bool("record", false, "let Chromium be recorded anew, into "+recordingFile)

const recordingFile = "../client/recording/chromium.rec"

// A page publishes its fake camera and microphone by WHIP.
const publishingPage = `<!doctype html><script>
async function publish() {
	const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 480, frameRate: 30}});
	const pc = window.pc = new RTCPeerConnection();
	for (const track of stream.getTracks()) {
		const t = pc.addTransceiver(track, {direction: 'sendonly', streams: [stream]});
		if (track.kind === 'video') {
			t.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter((c) => c.mimeType === 'video/VP8' || c.mimeType === 'video/rtx'));
		}
	}
	await pc.setLocalDescription();
	await new Promise((done) => { pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done(); });
	const answer = await fetch('/pub', {method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: pc.localDescription.sdp});
	await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
}
</script>`

// recorder receives one publisher.
type recorder struct {
	net *wire.Wire
	pc  *webrtc.PeerConnection

	mu      sync.Mutex
	on      bool
	streams map[webrtc.RTPCodecType]*recorded
	came    chan struct{} // closed when video comes
	once    sync.Once
}

// recorded is one of its streams.
type recorded struct {
	ssrc    uint32
	first   time.Time
	firstTS uint32
	stream  recording.Stream
	unknown int // packets that the kernel gave no time for
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	w, err := wire.New()
	if err != nil {
		t.Fatal(err)
	}
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	registry := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(media, registry); err != nil {
		t.Fatal(err)
	}
	var s webrtc.SettingEngine
	s.SetNet(w)
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(s))
	r := &recorder{net: w, streams: map[webrtc.RTPCodecType]*recorded{}, came: make(chan struct{})}
	if r.pc, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.pc.GracefulClose() })
	r.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { r.read(track) })
	return r
}

// read notes what comes of one track.
func (r *recorder) read(track *webrtc.TrackRemote) {
	to := &recorded{ssrc: uint32(track.SSRC())}
	r.mu.Lock()
	r.streams[track.Kind()] = to
	r.mu.Unlock()
	codec := synth.Codec(track.Codec().MimeType)
	buf := make([]byte, 1500)
	var p rtp.Packet
	for {
		n, attributes, err := track.Read(buf)
		if err != nil {
			return
		}
		if attributes.Get(webrtc.AttributeRtxSsrc) != nil {
			continue // sent again, to find out what the network carries
		}
		if p.Unmarshal(buf[:n]) != nil || len(p.Payload) == 0 {
			continue // padding
		}
		at, known := r.net.Came(p.SSRC, p.SequenceNumber)
		r.mu.Lock()
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			r.once.Do(func() { close(r.came) })
		}
		if r.on {
			to.add(&p, at, known, synth.StartsKeyFrame(codec, p.Payload), track.Kind())
		}
		r.mu.Unlock()
	}
}

// add takes video from a key frame on, audio from the first packet on. The receiver's mu is held.
func (to *recorded) add(p *rtp.Packet, at time.Time, known, key bool, kind webrtc.RTPCodecType) {
	if !known {
		to.unknown++
		return
	}
	if len(to.stream) == 0 {
		if !key {
			return
		}
		to.first, to.firstTS = at, p.Timestamp
	}
	to.stream = append(to.stream, recording.Arrival{
		At: at.Sub(to.first), Timestamp: p.Timestamp - to.firstTS, Size: len(p.Payload), Marker: p.Marker, Key: key && kind == webrtc.RTPCodecTypeVideo,
	})
}

// start begins the recording with a key frame.
func (r *recorder) start(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	r.on = true
	video := r.streams[webrtc.RTPCodecTypeVideo]
	r.mu.Unlock()
	if err := r.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: video.ssrc}}); err != nil {
		t.Fatal(err)
	}
}

// await waits until so much of both streams is there, and returns it.
func (r *recorder) await(t *testing.T, enough time.Duration) recording.Recording {
	t.Helper()
	late := time.After(enough + 20*time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r.mu.Lock()
		video, audio := r.streams[webrtc.RTPCodecTypeVideo], r.streams[webrtc.RTPCodecTypeAudio]
		if video != nil && audio != nil && video.length() > enough && audio.length() > enough {
			defer r.mu.Unlock()
			if video.unknown+audio.unknown > 0 {
				t.Errorf("the kernel gave no time for %d and %d packets", video.unknown, audio.unknown)
			}
			return recording.Recording{Video: video.stream, Audio: audio.stream}
		}
		r.mu.Unlock()
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("not enough comes from Chromium")
		}
	}
}

func (to *recorded) length() time.Duration {
	if len(to.stream) == 0 {
		return 0
	}
	return to.stream[len(to.stream)-1].At
}

// answer serves the page and its POST.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, publishingPage)
		return
	}
	offer, err := io.ReadAll(req.Body)
	if err == nil {
		err = r.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: string(offer)})
	}
	var answer webrtc.SessionDescription
	if err == nil {
		answer, err = r.pc.CreateAnswer(nil)
	}
	gathered := webrtc.GatheringCompletePromise(r.pc)
	if err == nil {
		err = r.pc.SetLocalDescription(answer)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	<-gathered
	_, _ = io.WriteString(w, r.pc.LocalDescription().SDP)
}

// film makes a file of pictures for Chromium's fake camera, which plays it over and over: a coarse pattern that sways, under noise as a
// camera's in a dim room, so that the encoder needs all that it may use.
func film(t *testing.T) (file string) {
	t.Helper()
	const width, height, frames = 640, 480, 60
	rng := rand.New(rand.NewPCG(1, 2)) // the same pictures each time
	var pattern [64][64]byte
	for y := range pattern {
		for x := range pattern[y] {
			pattern[y][x] = byte(40 + rng.IntN(160))
		}
	}
	b := []byte("YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420\n")
	for f := range frames {
		turn := 2 * math.Pi * float64(f) / frames // the last picture leads to the first
		dx, dy := int(100+60*math.Sin(turn)), int(100+60*math.Cos(turn))
		b = append(b, "FRAME\n"...)
		for y := range height {
			for x := range width {
				b = append(b, pattern[(y+dy)/20%64][(x+dx)/20%64]+byte(rng.IntN(24)))
			}
		}
		for i := range width * height / 2 {
			b = append(b, byte(118+i%20))
		}
	}
	file = filepath.Join(t.TempDir(), "film.y4m")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRecording(t *testing.T) {
	settled, length := time.Second, time.Second
	if *record {
		settled, length = 15*time.Second, 10*time.Second // Chromium has found out what the network carries
	}
	r := newRecorder(t)
	site := httptest.NewServer(r)
	defer site.Close()
	alloc, stopAlloc := chromedp.NewExecAllocator(t.Context(), append(chromium.Flags(t.TempDir()),
		chromedp.Flag("use-file-for-fake-video-capture", film(t)))...)
	defer stopAlloc()
	page, stop := chromedp.NewContext(alloc)
	defer stop()
	if err := chromedp.Do(page, chromedp.Navigate(site.URL)); err != nil {
		t.Fatalf("%s does not start: %v; if it is missing: make setup, or apt-get install chromium", chromium.Path, err)
	}
	limited, cancel := context.WithTimeout(page, 20*time.Second)
	defer cancel()
	if _, err := chromedp.Run(limited, chromedp.Evaluate[any]("publish()", chromedp.EvalAwaitPromise)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.came:
	case <-time.After(20 * time.Second):
		t.Fatal("no video comes from Chromium")
	}
	<-time.After(settled)
	r.start(t)
	rec := r.await(t, length)
	frames := 0
	for i, p := range rec.Video {
		if i == 0 || p.Timestamp != rec.Video[i-1].Timestamp {
			frames++
		}
	}
	if back, err := recording.Decode(rec.Encode()); err != nil || len(back.Video) != len(rec.Video) || !rec.Video[0].Key ||
		frames < int(length.Seconds()*10) || len(rec.Audio) < int(length.Seconds()*40) {
		t.Errorf("%v; %d frames and %d packets of audio in %v", err, frames, len(rec.Audio), length)
	}
	if *record {
		b := rec.Encode()
		if err := os.WriteFile(recordingFile, b, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d packets of video, %d of audio, %d bytes", len(rec.Video), len(rec.Audio), len(b))
	}
}
