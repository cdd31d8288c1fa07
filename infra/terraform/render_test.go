package terraform

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
)

// boot is what instances are given, as the plan says: by address of the resource, and the secrets by ARN.
type boot struct {
	nats, consul, node config
	secrets            map[string]string
	addresses          map[string]string // of a secret, by ARN
}

// config is a #cloud-config.
type config struct {
	text  string
	Files []struct{ Path, Permissions, Content string } `json:"write_files"`
	Run   [][]string                                    `json:"runcmd"`
}

// file is the content of one of its files.
func (c config) file(t *testing.T, path string) string {
	t.Helper()
	for _, f := range c.Files {
		if f.Path == path {
			return f.Content
		}
	}
	t.Fatalf("user-data has no %s", path)
	return ""
}

// archive is a program as instances fetch it.
type archive struct{ url, sha256 string }

func (a archive) hcl() string { return fmt.Sprintf("{ url = %q, sha256 = %q }", a.url, a.sha256) }

// secretModules are those of the secrets that an installation has.
var secretModules = []string{
	"module.state.module.secret", "module.mediad.module.admin", "module.bus.module.authority.module.secret", "module.bus.module.env", "module.bus.module.url",
	"module.discovery.module.authority.module.secret", "module.discovery.module.gossip",
}

var secretAnswers = regexp.MustCompile(`(?s)  mock_resource "aws_secretsmanager_secret(_version)?" \{.*?\n  \}\n`)

// render plans an installation with one server of each kind, for this machine's architecture.
func render(t *testing.T, mediad, consul, nats archive) boot {
	t.Helper()
	types := map[string]string{"amd64": "c7i.large t3.small", "arm64": "c7g.large t4g.small"}[runtime.GOARCH]
	node, server, _ := strings.Cut(types, " ")
	// Each secret has an ARN of its own here.
	head := secretAnswers.ReplaceAllString(answers(t), "")
	for _, m := range secretModules {
		head += fmt.Sprintf("override_resource {\n  target = %s.aws_secretsmanager_secret_version.this\n  values = { arn = %q }\n}\n", m, "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"+m)
	}
	run := fmt.Sprintf(`run "boot" {
  command = apply
  variables {
    node_instance_type   = %q
    consul_instance_type = %q
    nats_instance_type   = %[2]q
    nats_servers         = 1
    consul_servers       = 1
    mediad_package       = %s
    consul_package       = %s
    nats_package         = %s
    cors_domains         = ["example.org", "example.net"]
    node_settings        = { WEEVER_MAX_SESSIONS = "700" }
    drain_timeout_seconds = 60
  }
}
`, node, server, mediad.hcl(), consul.hcl(), nats.hcl())
	w := newWorkspace(t, "tofu", change{file: "tests/plan.tftest.hcl", new: "# not now\n"}, change{file: "tests/boot.tftest.hcl", new: head + run})
	b := boot{secrets: map[string]string{}, addresses: map[string]string{}}
	for _, r := range w.made(t, "tests/boot.tftest.hcl") {
		switch {
		case r.Type == "aws_secretsmanager_secret_version":
			b.secrets[r.text("arn")] = r.text("secret_string")
			b.addresses[r.text("arn")] = r.Address
		case r.Type == "aws_launch_template":
			text, err := base64.StdEncoding.DecodeString(r.text("user_data"))
			if err != nil {
				t.Fatal(err)
			}
			b.node = parse(t, string(text))
		case r.Address == "module.bus.module.server[0].aws_instance.this[0]":
			b.nats = parse(t, r.text("user_data"))
		case r.Address == "module.discovery.module.server[0].aws_instance.this[0]":
			b.consul = parse(t, r.text("user_data"))
		}
	}
	if len(b.secrets) != len(secretModules) {
		t.Fatalf("the plan has the secrets %v, not %d", b.addresses, len(secretModules))
	}
	return b
}

func parse(t *testing.T, text string) config {
	t.Helper()
	body, ok := strings.CutPrefix(text, "#cloud-config\n")
	if !ok {
		t.Fatalf("user-data does not begin with #cloud-config, so cloud-init would not read it: %.40q", text)
	}
	c := config{text: text}
	if err := json.Unmarshal([]byte(body), &c); err != nil { // JSON is YAML
		t.Fatal(err)
	}
	return c
}

// stage writes the files of an instance below a folder, as cloud-init would below /.
func (c config) stage(t *testing.T, dir string, instead map[string]string) {
	t.Helper()
	for _, f := range c.Files {
		mode := os.FileMode(0o644)
		if f.Permissions == "0755" {
			mode = 0o755
		}
		if text, ok := instead[f.Path]; ok {
			f.Content = text
		}
		file := filepath.Join(dir, f.Path)
		planted.Write(t, file, f.Content)
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
}
