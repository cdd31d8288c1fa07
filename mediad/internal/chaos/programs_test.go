package chaos

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// programs are what is built once for all faults, without the race detector: paths of files.
type programs struct {
	mediad, nats string
	clocked      string // mediad with a clock that can be set; in the full version alone
	config       string // of the balancer, as it is shipped
}

func buildPrograms(t *testing.T) programs {
	t.Helper()
	dir := t.TempDir()
	root := strings.TrimSuffix(goTool(t, "env", "GOMOD"), "go.mod")
	p := programs{
		mediad: build(t, dir, "weever/mediad"),
		nats:   build(t, dir, "github.com/nats-io/nats-server/v2"),
		config: filepath.Join(root, "infra", "haproxy", "haproxy.cfg"),
	}
	if *full {
		p.clocked = buildWithClock(t)
	}
	return p
}

// build makes a program of a package.
func build(t testing.TB, dir, pkg string, flags ...string) (file string) {
	t.Helper()
	file = filepath.Join(dir, strings.NewReplacer("/", "-", ".", "-").Replace(pkg))
	goTool(t, append(append([]string{"build", "-o", file}, flags...), pkg)...)
	return file
}

func goTool(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("go", args...).CombinedOutput() //nolint:gosec // the test's own words
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
