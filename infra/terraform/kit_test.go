// Package terraform checks the Terraform files beside it with the programs that operators use, and runs what they give to instances.
package terraform

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// programs are those that must take the files: OpenTofu always, Terraform where it is installed.
func programs() []string {
	if _, err := exec.LookPath("terraform"); err == nil {
		return []string{"tofu", "terraform"}
	}
	return []string{"tofu"}
}

func version(t *testing.T, program string) string {
	t.Helper()
	var v struct {
		Terraform string `json:"terraform_version"`
	}
	call := tool.Call{Dir: t.TempDir(), Env: environment(t)}
	if err := json.Unmarshal([]byte(call.Run(t, program, "version", "-json")), &v); err != nil {
		t.Fatal(err)
	}
	return v.Terraform
}

// workspace is a copy of the files with providers that have a schema and nothing else.
type workspace struct {
	dir     string // of the copy of infra/terraform
	program string
	call    tool.Call
}

// mirror is a folder of providers as `terraform init` looks for them, made once: three names for one program.
var mirror = sync.OnceValues(func() (string, error) {
	stub, err := tool.Find("terraform-stub")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "weever-providers-")
	if err != nil {
		return "", err
	}
	for _, host := range []string{"registry.terraform.io", "registry.opentofu.org"} {
		for name, v := range map[string]string{"aws": "6.25.0", "random": "3.7.2", "tls": "4.1.0"} {
			at := filepath.Join(dir, host, "hashicorp", name, v, "linux_"+runtime.GOARCH)
			if err := os.MkdirAll(at, 0o755); err != nil {
				return "", err
			}
			if err := os.Symlink(stub, filepath.Join(at, "terraform-provider-"+name+"_v"+v)); err != nil {
				return "", err
			}
		}
	}
	rc := fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", dir)
	return dir, os.WriteFile(filepath.Join(dir, "rc"), []byte(rc), 0o600)
})

// environment keeps what the machine's user has set away from the programs.
func environment(t *testing.T) []string {
	t.Helper()
	providers, err := mirror()
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"TF_CLI_CONFIG_FILE=" + filepath.Join(providers, "rc"), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "AWS_EC2_METADATA_DISABLED=true",
	}
}

func TestMain(m *testing.M) {
	m.Run()
	if dir, err := mirror(); err == nil {
		_ = os.RemoveAll(dir)
	}
}

// copyFiles makes the copy, with the archives of the functions beside it that the plan wants to see.
func copyFiles(t *testing.T) (dir string) {
	t.Helper()
	top := t.TempDir()
	for _, folder := range []string{"infra/terraform", "infra/nats"} {
		from := filepath.Join("../..", folder)
		err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
			if err != nil || strings.HasSuffix(path, ".go") || d.Name() == ".terraform.lock.hcl" {
				return err
			}
			rel, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			if d.IsDir() {
				if d.Name() == ".terraform" {
					return filepath.SkipDir
				}
				return os.MkdirAll(filepath.Join(top, folder, rel), 0o755)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(top, folder, rel), data, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"create", "list", "kick"} {
		planted.Write(t, filepath.Join(top, "bin/package", name+".zip"), name)
	}
	return filepath.Join(top, "infra/terraform")
}

// newWorkspace makes a copy, changes it, and initialises it.
func newWorkspace(t *testing.T, program string, changes ...change) workspace {
	t.Helper()
	w := workspace{dir: copyFiles(t), program: program}
	for _, c := range changes {
		c.apply(t, w.dir)
	}
	w.call = tool.Call{Dir: w.dir, Env: environment(t)}
	w.call.Run(t, program, "init", "-backend=false", "-input=false", "-no-color")
	return w
}

func (w workspace) run(t *testing.T, args ...string) string {
	t.Helper()
	return w.call.Run(t, w.program, args...)
}

func (w workspace) refused(t *testing.T, args ...string) string {
	t.Helper()
	return w.call.Refused(t, w.program, args...)
}

// change is a mistake to plant, or a file of a test.
type change struct{ file, old, new string }

func (c change) apply(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(dir, c.file)
	if c.old == "" {
		planted.Write(t, file, c.new)
		return
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), c.old); n != 1 {
		t.Fatalf("%s has %d times %q, once is needed to plant a mistake", c.file, n, c.old)
	}
	planted.Write(t, file, strings.Replace(string(data), c.old, c.new, 1))
}

// answers are the made-up ones of tests/plan.tftest.hcl, and its variables, for runs of our own.
func answers(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("tests/plan.tftest.hcl")
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(data), "# ---- end of what all runs share")
	if !found {
		t.Fatal("tests/plan.tftest.hcl has lost the line that ends what all runs share")
	}
	return head
}

// message is a line of `test -json`.
type message struct {
	Type       string `json:"type"`
	File       string `json:"@testfile"`
	Run        string `json:"@testrun"`
	Diagnostic struct {
		Summary, Detail string
	} `json:"diagnostic"`
	State struct {
		Values struct {
			Root module `json:"root_module"`
		} `json:"values"`
	} `json:"test_state"`
}

func messages(t *testing.T, out string) (all []message) {
	t.Helper()
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, m)
	}
	return all
}

// module and resource are what Terraform says of what it would make.
type module struct {
	Resources []resource `json:"resources"`
	Children  []module   `json:"child_modules"`
}

type resource struct {
	Address string         `json:"address"`
	Mode    string         `json:"mode"`
	Type    string         `json:"type"`
	Values  map[string]any `json:"values"`
}

func (m module) all() []resource {
	list := m.Resources
	for _, c := range m.Children {
		list = append(list, c.all()...)
	}
	return list
}

// made are the resources of one run of `test`, with made-up answers and all else as it would be.
func (w workspace) made(t *testing.T, test string) []resource {
	t.Helper()
	for _, m := range messages(t, w.run(t, "test", "-json", "-verbose", "-filter="+test)) {
		if m.Type == "test_state" {
			return m.State.Values.Root.all()
		}
	}
	t.Fatalf("%s: no state was printed", test)
	return nil
}

// text is a value as one writes it.
func (r resource) text(path ...string) string {
	var v any = r.Values
	for _, step := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			if len(at) == 0 {
				return ""
			}
			v = at[0]
			if m, ok := v.(map[string]any); ok {
				v = m[step]
			}
		}
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

var usedType = regexp.MustCompile(`(?m)^(resource|data) "([a-z0-9_]+)"`)
