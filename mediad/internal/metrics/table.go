package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// This file is the form in which the families are declared, in sessions.go, media.go and cluster.go: name, meaning and where the
// values come from stand together, and the README's table is made of them.

// emit takes one value of a family, with a value for each of its labels. These must come from a fixed list, or from how the node is
// deployed; never from a client.
type emit func(value float64, labels ...string)

// family is one metric that a scrape computes.
type family struct {
	name   string // without the prefix
	help   string
	kind   prometheus.ValueType
	labels []string
	read   func(*reading, emit)
}

func counter(name, help string, labels []string, read func(*reading, emit)) family {
	return family{name, help, prometheus.CounterValue, labels, read}
}

func gauge(name, help string, labels []string, read func(*reading, emit)) family {
	return family{name, help, prometheus.GaugeValue, labels, read}
}

// families are all that are computed.
func families() []family {
	return slices.Concat(sessionFamilies(), mediaFamilies(), relayFamilies(), clusterFamilies())
}

// the reads a single value.
func the[T int | uint32 | uint64 | float64 | bool](value func(*reading) T) func(*reading, emit) {
	return func(r *reading, out emit) { out(number(value(r))) }
}

func number(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case uint32:
		return float64(v)
	case uint64:
		return float64(v)
	case float64:
		return v
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

// each reads a map whose keys are the values of one label.
func each[T int | uint64 | bool](values func(*reading) map[string]T) func(*reading, emit) {
	return func(r *reading, out emit) {
		for name, v := range values(r) {
			out(number(v), name)
		}
	}
}

// ways reads a pair that is told apart by the label direction.
func ways[T int | uint64](in, out func(*reading) T) func(*reading, emit) {
	return func(r *reading, put emit) {
		put(number(in(r)), "in")
		put(number(out(r)), "out")
	}
}
