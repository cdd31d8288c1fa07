package redisdb

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

// Connections have small buffers of all kinds, but where the URL says how large.
func TestBuffers(t *testing.T) {
	for url, want := range map[string][4]int{
		"redis://127.0.0.1":                                {connBuffer, connBuffer, connBuffer, connBuffer},
		"redis://127.0.0.1?addr=127.0.0.2:6379":            {connBuffer, connBuffer, connBuffer, connBuffer},
		"redis://127.0.0.1/0?master_name=main":             {connBuffer, connBuffer, connBuffer, connBuffer},
		"redis://127.0.0.1?pipeline_read_buffer_size=8192": {connBuffer, connBuffer, 8192, connBuffer},
	} {
		client, err := open(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		var got [4]int
		switch c := client.(type) {
		case *redis.Client:
			o := c.Options()
			got = [...]int{o.ReadBufferSize, o.WriteBufferSize, o.PipelineReadBufferSize, o.PipelineWriteBufferSize}
		case *redis.ClusterClient:
			o := c.Options()
			got = [...]int{o.ReadBufferSize, o.WriteBufferSize, o.PipelineReadBufferSize, o.PipelineWriteBufferSize}
		}
		if got != want {
			t.Errorf("%s: %v, want %v", url, got, want)
		}
		if err := client.Close(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
