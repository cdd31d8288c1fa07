package lease

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// This file turns leases into text and back. What is read another version may have written: it is checked here.

const (
	maxText   = 256     // bytes of a field of a Record
	maxRecord = 4 << 10 // bytes of a Record's JSON
	maxNumber = 9e15    // above it a double of Lua is no longer exact
)

// errRecord is wrapped by all errors of this file.
var errRecord = errors.New("lease")

// Record says whose a lease is. Instance is the process, Node its name, which a later process may have with a higher Epoch.
type Record struct {
	Node     string `json:"node"`
	Instance string `json:"instance"`
	Epoch    int64  `json:"epoch"`
	URL      string `json:"url"` // where clients reach this very node
	Region   string `json:"region"`
	Version  string `json:"version"`
}

func (r *Record) check() error {
	for _, f := range []struct{ name, value string }{{"node", r.Node}, {"url", r.URL}, {"region", r.Region}, {"version", r.Version}} {
		if len(f.value) > maxText {
			return fmt.Errorf("%w: %s is longer than %d bytes", errRecord, f.name, maxText)
		}
	}
	if r.Node == "" {
		return fmt.Errorf("%w: node is missing", errRecord)
	}
	if r.Epoch <= 0 || r.Epoch > maxNumber {
		return fmt.Errorf("%w: epoch %d is out of range", errRecord, r.Epoch)
	}
	return checkInstance(r.Instance)
}

// checkInstance asks for what can stand in a header between spaces.
func checkInstance(instance string) error {
	if instance == "" || len(instance) > maxText || strings.ContainsFunc(instance, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fmt.Errorf("%w: instance must be 1 to %d visible ASCII characters", errRecord, maxText)
	}
	return nil
}

// decode reads what the table has in the field of an instance. The header overrides the JSON.
func decode(field, raw string, now int64) (Lease, error) {
	head := strings.SplitN(raw, " ", 7)
	if len(head) != 7 || head[0] != "1" || len(head[6]) > maxRecord || !strings.HasPrefix(head[5], "@") {
		return Lease{}, fmt.Errorf("%w: unknown form", errRecord)
	}
	var l Lease
	if err := json.Unmarshal([]byte(head[6]), &l.Record); err != nil {
		return Lease{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	if l.Instance != field {
		return Lease{}, fmt.Errorf("%w: kept under another instance", errRecord)
	}
	l.Epoch = number(head[1])
	if ends := number(head[3]); ends > 0 {
		l.Remaining = time.Duration(ends-now) * time.Microsecond
	}
	if number(head[4]) > now {
		l.Reaper = head[5][1:]
	}
	return l, l.check()
}

// number gives 0 for what is no whole number that a double holds exactly.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > maxNumber {
		return 0
	}
	return n
}
