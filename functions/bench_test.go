package functions_test

import (
	"archive/zip"
	"compress/flate"
	"fmt"
	"io"
	"os"
	"sort"
	"testing"
	"time"

	"weever/shared/testkit"
	"weever/shared/testkit/lambda"
)

// BenchmarkColdStart measures each function from the start of its process to its first request for an event, and the size of
// what is uploaded. Aims: 100 ms, 10 MB. template.yaml deploys the arm64 one.
func BenchmarkColdStart(b *testing.B) {
	env := map[string]string{"WEEVER_REDIS": testkit.Redis(b)}
	for _, name := range []string{"create", "list", "kick"} {
		b.Run(name, func(b *testing.B) {
			amd64 := lambda.Build(b, name, "amd64")
			var starts []time.Duration
			for b.Loop() {
				starts = append(starts, lambda.Start(b, amd64, env).ColdStart)
			}
			sort.Slice(starts, func(i, j int) bool { return starts[i] < starts[j] })
			median, worst := starts[len(starts)/2], starts[len(starts)-1]
			b.ReportMetric(median.Seconds()*1000, "ms/cold-start")
			b.ReportMetric(worst.Seconds()*1000, "ms/worst")
			b.ReportMetric(zipped(b, amd64), "MB/zip-amd64")
			b.ReportMetric(zipped(b, lambda.Build(b, name, "arm64")), "MB/zip-arm64")
			b.ReportMetric(0, "ns/op") // says nothing here
		})
	}
}

// BenchmarkInvoke measures a warm function: event in, answer out, one round trip to Redis.
func BenchmarkInvoke(b *testing.B) {
	fn := lambda.Start(b, lambda.Build(b, "create", "amd64"), map[string]string{"WEEVER_REDIS": testkit.Redis(b)})
	event := kinds["http api"](call{
		method: "POST", route: "/create/sub", path: "/create/sub", header: jsonHeader, body: `{"room":"lobby","id":"alice","token":"secret"}`,
	})
	for b.Loop() {
		if _, err := fn.Invoke(event); err != nil {
			b.Fatal(err)
		}
	}
}

// zipped is the size in MB of a zip that holds the file.
func zipped(b *testing.B, path string) float64 {
	b.Helper()
	size, err := zipSize(path)
	if err != nil {
		b.Fatal(err)
	}
	return float64(size) / 1e6
}

func zipSize(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var n counter
	z := zip.NewWriter(&n)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	w, err := z.Create("bootstrap")
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(w, f); err != nil {
		return 0, fmt.Errorf("zip %s: %w", path, err)
	}
	err = z.Close()
	return int64(n), err
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
