package metrics

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weever/mediad/internal/metrics/answers"
	"weever/mediad/internal/session/life"
	"weever/shared/room"
)

// This file is what the node's parts tell as it happens: times, and requests over HTTP.

// declaration is one instrument.
type declaration struct {
	name, help, kind string // name without the prefix
	labels           []string
	buckets          []float64 // of a histogram, in seconds
}

// The instruments, by their place in declared.
const (
	answered = iota
	connected
	media
	keyframe
	hop
	probe
	requests
)

func declared() []declaration {
	joins := []float64{.005, .01, .02, .04, .06, .08, .1, .15, .2, .3, .5, .75, 1, 2, 5, 10, 15}
	trips := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}
	return []declaration{
		answered: {"join_answer_seconds", "From a POST that began a session to its answer.", "histogram", []string{"role"}, joins},
		connected: {
			"join_connected_seconds", "From a POST to its transport (ICE and DTLS) being up.", "histogram", []string{"role"}, joins,
		},
		media: {
			"join_media_seconds", "From a viewer's POST to the first packet of media written to it. Who found nothing to be sent, as in an empty room, is not in it.",
			"histogram", nil, joins,
		},
		keyframe: {
			"keyframe_wait_seconds",
			"How long a viewer waited for the first key frame of a stream, at a join (once its transport was up), a switch, or after a hole.",
			"histogram", nil, joins,
		},
		hop: {
			"relay_hop_seconds",
			"Time to the node that publishes a stream: half the round trip of a node call, on the control connection, when a lease is " +
				"renewed. Media's own delay is not measured: the clocks of two machines differ.",
			"histogram", nil, trips,
		},
		probe:    {"backend_probe_seconds", "How long a backend took to answer when it was asked whether it is there.", "histogram", []string{"backend"}, trips},
		requests: {"http_requests_total", "Requests to the public API that were answered, event streams when they ended.", "counter", []string{"method", "code"}, nil},
	}
}

// Instruments take in what the parts of a node measure. Nothing of it blocks; what is told once a packet or join does not allocate.
type Instruments struct {
	histograms map[int]*prometheus.HistogramVec
	requests   *prometheus.CounterVec
}

func newInstruments() Instruments {
	in := Instruments{histograms: map[int]*prometheus.HistogramVec{}}
	for i, d := range declared() {
		if i == requests {
			in.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + d.name, Help: d.help}, d.labels)
			continue
		}
		in.histograms[i] = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + d.name, Help: d.help, Buckets: d.buckets}, d.labels)
	}
	return in
}

func (in *Instruments) all() []prometheus.Collector {
	list := []prometheus.Collector{in.requests}
	for _, h := range in.histograms {
		list = append(list, h)
	}
	return list
}

// into returns what takes durations into one histogram.
func (in *Instruments) into(which int, labels ...string) func(time.Duration) {
	h := in.histograms[which].WithLabelValues(labels...)
	return func(d time.Duration) { h.Observe(d.Seconds()) }
}

// Publishers is for session.Config.
func (in *Instruments) Publishers() life.Times {
	return life.Times{Answered: in.into(answered, string(room.Pub)), Connected: in.into(connected, string(room.Pub))}
}

// Viewers is for session.Config.
func (in *Instruments) Viewers() life.Times {
	return life.Times{
		Answered: in.into(answered, string(room.Sub)), Connected: in.into(connected, string(room.Sub)),
		Media: in.into(media), Keyframe: in.into(keyframe),
	}
}

// Hop is for relay.Config.
func (in *Instruments) Hop() func(time.Duration) { return in.into(hop) }

// Probe returns ask, which asks a backend whether it is there, with its time measured when it answered. There are few backends.
func (in *Instruments) Probe(backend string, ask func(context.Context) error) func(context.Context) error {
	took := in.into(probe, backend)
	return func(ctx context.Context) error {
		began := time.Now()
		err := ask(ctx)
		if err == nil {
			took(time.Since(began))
		}
		return err
	}
}

// Requests returns next with its answers counted.
func (in *Instruments) Requests(next http.Handler) http.Handler {
	return answers.Counted(in.requests, next)
}
