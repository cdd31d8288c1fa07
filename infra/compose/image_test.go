package compose

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"weever/shared/testkit/tool"
)

const built = "v9.8.7" // the version of the image under test

// stage is what dockercheck says of a FROM.
type stage struct {
	Name, Base string
	Steps      []struct {
		Is    string
		Value struct {
			Path, From, Chown, DestPath, User string
			SourcePaths, CmdLine              []string
			Args                              []struct {
				Key   string
				Value *string
			}
			Env    []struct{ Key, Value string }
			Health *struct{ Test []string }
		}
	}
}

// readDockerfile has a Dockerfile judged and gives its stages.
func readDockerfile(t *testing.T, text string) []stage {
	t.Helper()
	var stages []stage
	if err := json.Unmarshal([]byte(tool.Call{Stdin: text}.Run(t, "dockercheck", "image")), &stages); err != nil {
		t.Fatal(err)
	}
	return stages
}

func dockerfile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// buildContext copies what the build may see of the repository, and returns where.
func buildContext(t *testing.T) string {
	t.Helper()
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("Dockerfile.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil || rel == "." {
			return err
		}
		if d.IsDir() {
			if rel == ".git" || rel == "bin" || d.Name() == "node_modules" {
				return fs.SkipDir // excluded, and large
			}
			return nil
		}
		if out, err := matcher.MatchesOrParentMatches(rel); err != nil || out || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(to, filepath.Dir(rel)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// buildImage carries out a Dockerfile: each stage in a folder of its own, commands in a copy of this machine, which stands for the image
// with Go. It returns the folder of the last stage, and what was said if that failed.
func buildImage(t *testing.T, text string) (image string, err error) {
	t.Helper()
	dir := t.TempDir()
	script, roots := "", map[string]string{}
	for i, s := range readDockerfile(t, text) {
		root := filepath.Join(dir, fmt.Sprint(i))
		script += "mkdir -p " + quote(root) + "\n"
		if s.Base != "scratch" {
			script += machine(t, root)
		}
		roots[s.Name], image = root, root
		script += steps(t, s, root, buildContext(t), roots)
	}
	out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-euc", script).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return image, err
}

// machine mounts a copy of this machine's files. Go's caches are the machine's own.
func machine(t *testing.T, root string) (script string) {
	t.Helper()
	script = fmt.Sprintf("mount -t tmpfs tmpfs %[1]s; mkdir %[1]s/u %[1]s/w %[1]s/m\n"+
		"mount -t overlay overlay -o lowerdir=/,upperdir=%[1]s/u,workdir=%[1]s/w %[1]s/m; mount --rbind %[1]s/m %[1]s\n"+
		"mount --bind /proc %[1]s/proc; mount --rbind /dev %[1]s/dev\n", quote(root))
	for _, v := range []string{"GOROOT", "GOCACHE", "GOMODCACHE"} { // each may be a mount of its own
		script += fmt.Sprintf("mkdir -p %[1]s %[2]s%[1]s; mount --bind %[1]s %[2]s%[1]s\n", quote(goEnv(t, v)), quote(root))
	}
	return script
}

// goEnv is a setting of this machine's Go.
func goEnv(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(tool.Call{}.Run(t, "go", "env", name))
}

// steps writes the steps of a stage as a script.
func steps(t *testing.T, s stage, root, context string, roots map[string]string) (script string) {
	t.Helper()
	work, env := "/", []string{"PATH=" + goEnv(t, "GOROOT") + "/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, v := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY"} {
		env = append(env, v+"="+goEnv(t, v))
	}
	given := map[string]string{"TARGETOS": "linux", "TARGETARCH": runtime.GOARCH, "VERSION": built}
	for _, step := range s.Steps {
		v := step.Value
		switch step.Is {
		case "WORKDIR":
			work = path.Join(work, v.Path)
			script += "mkdir -p " + quote(root+work) + "\n"
		case "ARG":
			for _, a := range v.Args {
				env = append(env, a.Key+"="+given[a.Key])
			}
		case "ENV":
			for _, e := range v.Env {
				env = append(env, e.Key+"="+e.Value)
			}
		case "RUN":
			script += "env " + quote(env...) + " chroot " + quote(root, "sh", "-euc", "cd "+work+"; "+strings.Join(v.CmdLine, " ")) + "\n"
		case "COPY":
			from := context
			if v.From != "" {
				from = roots[v.From]
			}
			to := v.DestPath
			if !path.IsAbs(to) {
				to = path.Join(work, to) + strings.Repeat("/", strings.Count(to, "/"))
			}
			for _, source := range v.SourcePaths {
				script += copyStep(filepath.Join(from, source), root+to, v.Chown)
			}
		}
	}
	return script
}

// copyStep copies a file, or what is in a folder, as COPY does.
func copyStep(from, to, owner string) string {
	if owner == "" {
		owner = "0:0"
	}
	return fmt.Sprintf(`if [ -d %[1]s ]; then mkdir -p %[2]s; cp -a %[1]s/. %[2]s; chown -R %[3]s %[2]s; else
mkdir -p "$(dirname %[2]sx)"; cp -a %[1]s %[2]s; fi
`, quote(from), quote(to), owner)
}

// quote makes words of the shell.
func quote(words ...string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return strings.Join(quoted, " ")
}

// imageFaults lists what breaks the rules for our image.
func imageFaults(stages []stage) (faults []string) {
	last := stages[len(stages)-1]
	user, health := "", false
	names := map[string]bool{"": true}
	for _, s := range stages {
		for _, step := range s.Steps {
			if from := step.Value.From; !names[from] {
				faults = append(faults, fmt.Sprintf("copies from %q, which is no stage", from))
			}
		}
		names[s.Name] = true
		if s.Base != "scratch" && !pinned.MatchString(s.Base) {
			faults = append(faults, fmt.Sprintf("base %q has no whole version", s.Base))
		}
	}
	for _, step := range last.Steps {
		switch step.Is {
		case "USER":
			user = step.Value.User
		case "HEALTHCHECK":
			health = step.Value.Health != nil && len(step.Value.Health.Test) > 1
		}
	}
	if last.Base != "scratch" {
		faults = append(faults, "has more in it than ours")
	}
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		faults = append(faults, fmt.Sprintf("runs as %q", user))
	}
	if !health {
		faults = append(faults, "has no health check")
	}
	return faults
}

func TestDockerfile(t *testing.T) {
	text := dockerfile(t)
	if f := imageFaults(readDockerfile(t, text)); len(f) > 0 {
		t.Error(f)
	}
	// It builds what make package builds.
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	made := tool.Call{Dir: root}.Run(t, "make", "-n", "mediad-"+runtime.GOARCH, "VERSION="+built)
	args := regexp.MustCompile(`CGO_ENABLED=0 go build (.*) -o `).FindStringSubmatch(made)
	if args == nil {
		t.Fatalf("make builds otherwise: %s", made)
	}
	ours := strings.ReplaceAll(strings.ReplaceAll(text, "$VERSION", built), `"`, "'")
	if !strings.Contains(ours, "go build "+args[1]+" -o /out/usr/bin/mediad") || !strings.Contains(text, "ENV CGO_ENABLED=0") {
		t.Errorf("make builds with %s", args[1])
	}
	for _, c := range []struct{ name, old, next, fault string }{
		{"an instruction that is none", "WORKDIR /src", "WORKDIRS /src", "unknown instruction"},
		{"a variable that is none", "ENV CGO_ENABLED=0", "ENV CGO_ENABLED=$CGO", "UndefinedVar"},
		{"a secret", "ENV CGO_ENABLED=0", "ENV CGO_ENABLED=0 ADMIN_TOKEN=a", "SecretsUsedInArgOrEnv"},
		{"a shell form", `ENTRYPOINT ["/usr/bin/mediad"]`, "ENTRYPOINT /usr/bin/mediad", "JSONArgsRecommended"},
	} {
		if out := (tool.Call{Stdin: strings.Replace(text, c.old, c.next, 1)}).Refused(t, "dockercheck", "image"); !strings.Contains(out, c.fault) {
			t.Errorf("%s: %s", c.name, out)
		}
	}
	for _, c := range []struct{ old, next, fault string }{
		{"golang:1.26.8-bookworm", "golang:latest", "no whole version"},
		{"--from=build /out/usr", "--from=builder /out/usr", "no stage"},
		{"USER 65532:65532", "USER 0:0", "runs as"},
		{"USER 65532:65532\n", "", "runs as"},
		{"FROM scratch", "FROM debian:12.1.0-slim", "more in it"},
		{"HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD [\"/usr/bin/helper\", \"alive\"]", "HEALTHCHECK NONE", "no health check"},
	} {
		if f := imageFaults(readDockerfile(t, strings.Replace(text, c.old, c.next, 1))); !strings.Contains(strings.Join(f, "; "), c.fault) {
			t.Errorf("%q: %q", c.next, f)
		}
	}
	tool.Checked(t, "dockercheck", "(BuildKit "+buildkit(t)+")", "the Dockerfile: syntax, stages, its own rules, and ours")
}

// buildkit is the version of the library in dockercheck.
func buildkit(t *testing.T) string {
	t.Helper()
	path, err := tool.Find("dockercheck")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`github.com/moby/buildkit\s+(\S+)`).FindStringSubmatch(tool.Call{}.Run(t, "go", "version", "-m", path))
	if m == nil {
		t.Fatal("no BuildKit in it")
	}
	return m[1]
}

// TestImage: its steps can be carried out, and the result is what was meant.
func TestImage(t *testing.T) {
	image, err := buildImage(t, dockerfile(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	err = filepath.WalkDir(image, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(name, image))
		}
		return err
	})
	want := []string{"/etc/ssl/certs/ca-certificates.crt", "/usr/bin/helper", "/usr/bin/mediad", "/usr/share/doc/mediad/LICENSE"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("in the image: %q, %v", names, err)
	}
	for _, name := range []string{"helper", "mediad"} {
		program, err := elf.Open(filepath.Join(image, "usr/bin", name))
		if err != nil {
			t.Fatal(err)
		}
		if libs, err := program.ImportedLibraries(); err != nil || len(libs) > 0 || program.Section(".interp") != nil || program.Close() != nil {
			t.Errorf("%s is not static: %v, %v", name, libs, err)
		}
	}
	out, err := exec.Command("chroot", "--userspec=65532:65532", image, "/usr/bin/mediad", "version").CombinedOutput()
	if err != nil || string(out) != "mediad "+built+"\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := buildImage(t, strings.Replace(dockerfile(t), "COPY site site", "COPY sites site", 1)); err == nil {
		t.Error("a source that is not there is copied")
	}
	if _, err := buildImage(t, strings.Replace(dockerfile(t), "COPY shared shared\n", "", 1)); err == nil || !bytes.Contains([]byte(err.Error()), []byte("shared/")) {
		t.Errorf("it can be built without a part: %v", err)
	}
}
