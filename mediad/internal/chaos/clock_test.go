package chaos

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// This file lets the wall clock of a node jump. Its time.Now is another one than Go's: it adds what a file says.

// clockEnv names that file: seconds, eight bytes in this machine's order.
const clockEnv = "WEEVER_CHAOS_CLOCK"

// clockCode is what is put into a copy of package time. The file is mapped into memory: to look costs nothing, and needs no lock.
const clockCode = `
var chaosClock = openChaosClock()

func openChaosClock() *int64 {
	name, ok := syscall.Getenv("` + clockEnv + `")
	if !ok {
		return nil
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		panic("the clock: " + err.Error())
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("the clock: " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&page[0]))
}

func chaosJump() int64 {
	if chaosClock == nil {
		return 0
	}
	return atomic.LoadInt64(chaosClock)
}
`

// clockEdits are the changes to package time, which must each fit in one place.
var clockEdits = [][2]string{
	{"\t_ \"unsafe\" // for go:linkname\n", "\t\"sync/atomic\"\n\t\"syscall\"\n\t\"unsafe\" // for go:linkname, too\n"},
	{"func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", clockCode + "\nfunc Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += chaosJump()\n"},
}

// buildWithClock makes a node whose clock can be set.
func buildWithClock(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	original := filepath.Join(goTool(t, "env", "GOROOT"), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for _, e := range clockEdits {
		if n := strings.Count(text, e[0]); n != 1 {
			t.Fatalf("this version of Go has %q in package time %d times: adapt clockEdits", e[0], n)
		}
		text = strings.Replace(text, e[0], e[1], 1)
	}
	changed := filepath.Join(dir, "time.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{changed: []byte(text), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return build(t, dir, "weever/mediad", "-overlay="+filepath.Join(dir, "overlay.json"))
}

// clock is the file.
type clock struct{ file *os.File }

func newClock(s *scene) *clock {
	file, err := os.Create(filepath.Join(s.TempDir(), "clock"))
	if err != nil {
		s.Fatal(err)
	}
	s.now.Cleanup(func() { _ = file.Close() })
	c := &clock{file}
	c.set(s, 0)
	return c
}

// set makes the clock be wrong by so much.
func (c *clock) set(s *scene, by time.Duration) {
	s.Helper()
	if _, err := c.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(by/time.Second)), 0); err != nil { //nolint:gosec // two's complement
		s.Fatal(err)
	}
}

// wrong is by how much a node's clock is wrong, as it says itself.
func (n *node) wrong() time.Duration {
	n.stage.Helper()
	resp, err := n.private(http.MethodGet, "/liveness")
	if err != nil {
		n.stage.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		n.stage.Fatal(err)
	}
	return time.Until(said).Round(time.Minute)
}

// renewalLimit is when a node is asked again for what others watch: until then it takes their wish for expired, as after a sleep.
const renewalLimit = 4 * time.Second

func clockJumps(s *scene) {
	c, n := newClock(s), s.nodes[0]
	n.anew(func() { n.program, n.env = s.clocked, []string{clockEnv + "=" + c.file.Name()} })
	people := s.everywhere()
	s.strikes()
	for _, by := range []time.Duration{time.Hour, -time.Hour, 0} {
		c.set(s, by)
		if is := n.wrong(); is != by {
			s.Fatalf("the clock is wrong by %v, want %v", is, by)
		}
		hold(5 * time.Second)
		s.newcomer(people, openLimit)
	}
	people.receives(s, openLimit)
	s.unharmed(people.gaps(sameNode))
	s.bounded(people.gaps(nil), renewalLimit)
	s.calm(people)
	people.leave()
	n.anew(func() {})
}
