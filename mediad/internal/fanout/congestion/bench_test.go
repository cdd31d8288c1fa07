package congestion

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

func BenchmarkSent(b *testing.B) {
	e, now := New(0), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		e.Sent(1200, now)
	}
}

// BenchmarkFeedback is a report on 20 packets, of three frames and sound: what a viewer of one video sends ten times a second.
func BenchmarkFeedback(b *testing.B) {
	f := newFar(b, 0)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for range 5 {
			f.send(4, still(0))
			f.now = f.now.Add(20 * time.Millisecond)
		}
		report := f.reports()[0]
		b.StartTimer()
		if err := f.e.Feedback(report, f.now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFeedbackHostile is a report made to cost as much as it can: 65535 packets, all of the history lost, and as many symbols as fit.
func BenchmarkFeedbackHostile(b *testing.B) {
	f := newFar(b, 0)
	f.send(mostHistory, still(0))
	report := make([]byte, 1476)
	report[0], report[1] = 0x8f, 205
	report[2], report[3] = byte((len(report)/4-1)>>8), byte(len(report)/4-1)
	report[14], report[15] = 0x27, 0x10 // 10000 packets, in vectors of one bit: none received
	for i := 20; i+1 < len(report); i += 2 {
		report[i] = 0x80
	}
	b.ReportAllocs()
	for b.Loop() {
		report[19]++ // not the same again
		if err := f.e.Feedback(report, f.now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	f := newFar(b, 0)
	f.flow(2*time.Second, 4, still)
	b.ReportAllocs()
	for b.Loop() {
		f.e.Read(f.now)
	}
}

// BenchmarkPionUnmarshal is for comparison: reading the same report of 20 packets, and no more, with pion/rtcp.
func BenchmarkPionUnmarshal(b *testing.B) {
	f := newFar(b, 0)
	for range 5 {
		f.send(4, still(0))
		f.now = f.now.Add(20 * time.Millisecond)
	}
	report := f.reports()[0]
	b.ReportAllocs()
	for b.Loop() {
		var p rtcp.TransportLayerCC
		if err := p.Unmarshal(report); err != nil {
			b.Fatal(err)
		}
	}
}
