package functions_test

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// TestBuilt runs `make sam-build`, into a folder of its own, and looks at what it leaves for `sam local invoke` and `sam deploy`.
func TestBuilt(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "bin")
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	call := samTool(t)
	call.Dir = root
	// Go keeps what it has built in the home that the test has.
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		call.Env = append(call.Env, name+"="+strings.TrimSpace(tool.Call{}.Run(t, "go", "env", name)))
	}
	call.Run(t, "make", "sam-build", "BIN="+bin, "TOOLS="+filepath.Join(root, "bin", "tools"))

	t.Run("bootstraps", func(t *testing.T) {
		for _, title := range functions {
			for arch, machine := range machines {
				if err := bootstrapFault(bin, title, arch, machine); err != nil {
					t.Error(err)
				}
			}
		}
		if err := bootstrapFault(bin, "Kick", "arm64", machines["x86_64"]); err == nil || !strings.Contains(err.Error(), "EM_AARCH64") {
			t.Errorf("the other architecture's program: got %v", err)
		}
	})
	t.Run("templates", func(t *testing.T) {
		for arch := range machines {
			if fault := templateFault(t, filepath.Join(bin, "sam", arch), arch); fault != "" {
				t.Error(fault)
			}
		}
		if fault := templateFault(t, filepath.Join(bin, "sam", "arm64"), "x86_64"); !strings.Contains(fault, "Architecture") {
			t.Errorf("the other architecture's template: got %q", fault)
		}
	})
	native := filepath.Join(bin, "sam", map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH])
	t.Run("nothing to build", func(t *testing.T) {
		if err := os.Remove(filepath.Join(bin, "package", "lambda", "arm64", "kick", "bootstrap")); err != nil {
			t.Fatal(err)
		}
		got := call.Refused(t, "sam", "build", "--template", filepath.Join(bin, "sam", "arm64.yaml"), "--base-dir", filepath.Dir(bin), "--build-dir", t.TempDir())
		if !strings.Contains(got, "KickFunction") || !strings.Contains(got, "bootstrap") {
			t.Errorf("sam says %s", got)
		}
	})
	t.Run("half-configured", func(t *testing.T) { halfConfigured(t, native) })
	t.Run("readme", func(t *testing.T) { readme(t, call, bin) })
	t.Run("events", func(t *testing.T) { runEvents(t, native) })
	tool.Checked(t, "sam", version(t, "sam"), "template.yaml, by sam build for arm64 and x86_64")
}

// machines are Lambda's architectures.
var machines = map[string]elf.Machine{"arm64": elf.EM_AARCH64, "x86_64": elf.EM_X86_64}

// bootstrapFault looks whether what sam deploys is a program that runs on its own, and the same that the zip holds.
func bootstrapFault(bin, title, arch string, machine elf.Machine) error {
	path := filepath.Join(bin, "sam", arch, title+"Function", "bootstrap")
	built, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o111 != 0o111 {
		return fmt.Errorf("%s: not everybody may run it", path)
	}
	program, err := elf.NewFile(bytes.NewReader(built))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if program.Machine != machine || program.Section(".interp") != nil {
		return fmt.Errorf("%s: is for %v, or not static", path, program.Machine)
	}
	name := strings.ToLower(title) + ".zip"
	if arch != "arm64" {
		name = strings.ToLower(title) + "-" + arch + ".zip"
	}
	packed, err := os.ReadFile(filepath.Join(bin, "package", name))
	if err != nil {
		return err
	}
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(archive.File) != 1 || archive.File[0].Name != "bootstrap" || archive.File[0].Mode().Perm() != 0o755 {
		return fmt.Errorf("%s holds more or less than a bootstrap that may be run", name)
	}
	if archive.File[0].CRC32 != crc32.ChecksumIEEE(built) {
		return fmt.Errorf("%s holds another program than %s", name, path)
	}
	return nil
}

// templateFault looks whether a template that was built names what lies beside it and can be deployed for one architecture alone.
func templateFault(t *testing.T, dir, arch string) string {
	t.Helper()
	var text string
	for line := range strings.Lines(planted.Read(t, filepath.Join(dir, "template.yaml"))) {
		if indent := len(line) - len(strings.TrimLeft(line, " ")); indent > 0 {
			line = line[indent:]
		}
		text += strings.TrimRight(line, "\n") + " "
	}
	for _, want := range []string{
		"Architecture: Type: String Default: " + arch + " AllowedValues: - " + arch + " Description:",
		"Architectures: - Ref: Architecture",
		"CodeUri: CreateFunction", "CodeUri: ListFunction", "CodeUri: KickFunction",
	} {
		if !strings.Contains(text, want) {
			return fmt.Sprintf("%s/template.yaml lacks %q", dir, want)
		}
	}
	return ""
}

// halfConfigured starts the functions with what somebody might get wrong. They must not wait for events, which nobody could answer, and
// must not repeat a password.
func halfConfigured(t *testing.T, built string) {
	const right, cannot = "redis://127.0.0.1:6379", "cannot start: set WEEVER_REDIS and WEEVER_NAMESPACE right"
	for name, c := range map[string]struct{ redis, namespace, says string }{
		"no URL":                   {"", "", "must begin with redis:// or rediss:// (TLS)"},
		"another scheme":           {"http://127.0.0.1:6379", "", "must begin with redis:// or rediss:// (TLS)"},
		"no scheme":                {"localhost:6379", "", "must begin with redis:// or rediss:// (TLS)"},
		"the reference itself":     {"{{resolve:secretsmanager:arn:SecretString:url::}}", "", "cannot be parsed; it must look like redis://"},
		"the secret's JSON":        {`{"url":"redis://user:sesame@127.0.0.1"}`, "", "redis://"},
		"a password with a slash":  {"redis://user:ses/ame@127.0.0.1:6379", "", "percent-encoded"},
		"replicas that lag behind": {right + "?addr=127.0.0.1:6379&read_only=true", "", "read_only cannot be used"},
		"a namespace with a colon": {right, "weever:prod", "namespace: must be 1 to 64 characters"},
	} {
		for _, title := range functions {
			call := tool.Call{Env: []string{"WEEVER_REDIS=" + c.redis, "WEEVER_NAMESPACE=" + c.namespace, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1"}}
			got := call.Refused(t, filepath.Join(built, title+"Function", "bootstrap"))
			if !strings.Contains(got, cannot) || !strings.Contains(got, c.says) || strings.Contains(got, "ame@") || strings.Contains(got, "sesame") {
				t.Errorf("%s, %s: says %s", title, name, got)
			}
		}
	}
	// What is right but for the place of the Runtime API is refused for that alone: the messages above are not what every start says.
	call := tool.Call{Env: []string{"WEEVER_REDIS=" + right, "WEEVER_NAMESPACE=", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1"}}
	if got := call.Refused(t, filepath.Join(built, "ListFunction", "bootstrap")); strings.Contains(got, cannot) {
		t.Errorf("what is right is refused: %s", got)
	}
}

// readme runs the SAM CLI as the README says, to where it asks for what a test has not: by then it has understood the command, and read the
// template and the event.
func readme(t *testing.T, call tool.Call, bin string) {
	_, section, _ := strings.Cut(planted.Read(t, "../README.md"), "\n### The control API on AWS Lambda\n")
	section, _, _ = strings.Cut(section, "\n### ")
	call.Env = append(call.Env, "DOCKER_HOST=unix://"+filepath.Join(t.TempDir(), "none"))
	asks := map[string]string{
		"local": "requires a container runtime", "deploy": "Unable to locate credentials", "delete": "Unable to locate credentials",
	}
	seen := map[string]bool{}
	for line := range strings.SplitSeq(strings.ReplaceAll(section, "\\\n", " "), "\n") {
		args, isSAM := strings.CutPrefix(line, "bin/tools/sam ")
		if !isSAM {
			continue
		}
		words := strings.Fields(strings.ReplaceAll(args, "bin/sam/", filepath.Join(bin, "sam")+"/"))
		want, known := asks[words[0]]
		if got := call.Refused(t, "sam", words...); !known || !strings.Contains(got, want) {
			t.Errorf("sam %s\nsays %s", args, got)
		}
		seen[words[0]] = true
	}
	if len(seen) != len(asks) {
		t.Errorf("the README has the commands %v", seen)
	}
	for name := range machines {
		if !strings.Contains(section, "bin/sam/"+name) {
			t.Errorf("the README does not tell of bin/sam/%s", name)
		}
	}
	tpl, err := parse(t, planted.Read(t, "../template.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name := range tpl.Parameters {
		if !strings.Contains(section, "`"+name+"`") {
			t.Errorf("the README does not tell of the parameter %s", name)
		}
	}
}
