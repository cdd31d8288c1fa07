package terraform

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weever/shared/testkit/netns"
	"weever/shared/testkit/planted"
	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

const bootLimit = time.Minute

// machine is an instance of the tests: a network namespace, a root of its own, and what cloud-init would have written there.
type machine struct {
	net     *netns.Machine
	dir     string
	process *proc.Process
}

// newMachine prepares one with the files of user-data, or others in their place, in a network where the cloud is.
func newMachine(t *testing.T, m *netns.Machine, user config, instead map[string]string, ca authority) *machine {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"root", "out", "stage/opt/test"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	systemctl, err := os.ReadFile("testdata/systemctl")
	if err != nil {
		t.Fatal(err)
	}
	fake := filepath.Join(dir, "stage/opt/test/systemctl")
	planted.Write(t, fake, string(systemctl))
	if err := os.Chmod(fake, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	user.stage(t, filepath.Join(dir, "stage"), instead)
	planted.Write(t, filepath.Join(dir, "stage/etc/weever/test-ca.pem"), ca.pem)
	planted.Write(t, filepath.Join(dir, "stage/etc/hosts"), "127.0.0.1 localhost\n"+storeAddr+" "+storeName+"\n")
	return &machine{net: m, dir: dir, process: proc.New(t, "boot.sh")}
}

// in runs a program in the network of a machine, which must do what it is asked.
func in(t *testing.T, m *netns.Machine, name string, args ...string) string {
	t.Helper()
	out, err := m.Command(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start boots it and returns when its script has ended as it should.
func (m *machine) start(t *testing.T, ends string) {
	t.Helper()
	t.Cleanup(m.process.Stop)
	if err := m.process.Run(m.command(t), "boot ended with "+ends+".", bootLimit); err != nil {
		t.Fatalf("%v\n%s", err, m.logs())
	}
}

func (m *machine) command(t *testing.T) *exec.Cmd {
	t.Helper()
	aws, err := tool.Find("aws")
	if err != nil {
		t.Fatal(err)
	}
	tools := filepath.Dir(aws)
	script, err := filepath.Abs("testdata/machine.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := m.net.Command(context.Background(), "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", script, m.dir)
	cmd.Env = []string{
		"PATH=/opt/test:" + tools + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TOOLS=" + tools, "HOME=/nowhere",
		"AWS_ENDPOINT_URL=http://" + servicesAddr, "AWS_CONFIG_FILE=/dev/null", "WEEVER_PAUSE=0.1", "WEEVER_WATCH=0.2",
	}
	return cmd
}

// out is a file that the machine left for the test.
func (m *machine) out(name string) string {
	data, _ := os.ReadFile(filepath.Join(m.dir, "out", name)) // empty, if it is not there
	return string(data)
}

func (m *machine) logs() string {
	all, _ := filepath.Glob(filepath.Join(m.dir, "out/*.log"))
	var b strings.Builder
	for _, file := range all {
		b.WriteString("-- " + filepath.Base(file) + "\n" + m.out(filepath.Base(file)))
	}
	return b.String()
}
