package release

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// workflow is what the tests look at of one of GitHub's.
type workflow struct {
	Permissions map[string]string
	Concurrency map[string]any
	Jobs        map[string]struct {
		Uses        string
		Permissions map[string]string
		Timeout     int `yaml:"timeout-minutes"`
		Container   struct{ Image string }
		Steps       []struct {
			Uses, Run string
			With      map[string]any
		}
	}
}

var (
	pinned = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	// A goal that is called; lines are joined before.
	goal    = regexp.MustCompile(`\bmake ((?:[A-Z_]+=\S* |-\S+ )*)([a-z][a-z-]*)`)
	tagged  = regexp.MustCompile(`^\s*(?:- )?uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	writing = []string{"release.yml"} // whose jobs may write something
)

// flaws are what is wrong with a workflow besides what its linters find.
func flaws(t testing.TB, name, text, makefile string) (list []string) {
	t.Helper()
	flaw := func(format string, args ...any) { list = append(list, name+": "+fmt.Sprintf(format, args...)) }
	var w workflow
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "uses: ") && !strings.Contains(line, "uses: ./") && !tagged.MatchString(strings.TrimRight(line, "\n")) {
			flaw("no digest with a version behind it: %s", strings.TrimSpace(line))
		}
	}
	if w.Permissions == nil || len(w.Permissions) > 1 || len(w.Permissions) == 1 && w.Permissions["contents"] != "read" {
		flaw("permissions of all jobs are %v: none, or contents: read", w.Permissions)
	}
	if len(w.Concurrency) == 0 {
		flaw("two runs for one commit do not know of each other")
	}
	for id, job := range w.Jobs {
		for what, may := range job.Permissions {
			if may == "write" && !slices.Contains(writing, name) {
				flaw("%s: it may write %s", id, what)
			}
		}
		if job.Uses != "" {
			continue
		}
		if job.Timeout == 0 {
			flaw("%s: it has no timeout-minutes", id)
		}
		if image := job.Container.Image; image != "" && !regexp.MustCompile(`@sha256:[0-9a-f]{64}$`).MatchString(image) {
			flaw("%s: the image %s has no digest", id, image)
		}
		for _, step := range job.Steps {
			if step.Uses != "" && !pinned.MatchString(step.Uses) {
				flaw("%s: %s is not pinned", id, step.Uses)
			}
			if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != false {
				flaw("%s: the token is left in the working copy", id)
			}
			if strings.Contains(step.Run, "${{") {
				flaw("%s: GitHub writes text into a script: %s", id, step.Run)
			}
			for _, m := range goal.FindAllStringSubmatch(step.Run, -1) {
				if !strings.Contains(step.Run, "apt-get install") && !regexp.MustCompile(`(?m)^`+m[2]+`:`).MatchString(makefile) {
					flaw("%s: there is no goal %s in the Makefile", id, m[2])
				}
			}
		}
	}
	return list
}

// workflows reads them all.
func workflows(t testing.TB) (dir string, texts map[string]string, makefile string) {
	t.Helper()
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(root, ".github", "workflows")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	texts = map[string]string{}
	for _, e := range entries {
		texts[e.Name()] = planted.Read(t, filepath.Join(dir, e.Name()))
	}
	if len(texts) != 2 {
		t.Errorf("workflows are %v", slices.Sorted(maps.Keys(texts)))
	}
	return dir, texts, planted.Read(t, filepath.Join(root, "Makefile"))
}

func TestWorkflows(t *testing.T) {
	dir, texts, makefile := workflows(t)
	for name, text := range texts {
		for _, f := range flaws(t, name, text, makefile) {
			t.Error(f)
		}
		tool.Call{Dir: dir}.Run(t, "actionlint", "-no-color", name)
	}
	// Of low severity is that it would have "$/" for "./", which GitHub learnt of late.
	tool.Call{}.Run(t, "zizmor", "--offline", "--no-progress", "--min-severity", "medium", dir)
	if ci := texts["ci.yml"]; !strings.Contains(ci, "- run: make test\n") {
		t.Error("continuous integration does not run make test")
	}
	tool.Checked(t, "actionlint", strings.Fields(tool.Call{}.Run(t, "actionlint", "--version"))[0], "the workflows of GitHub, with shellcheck for their scripts")
	tool.Checked(t, "zizmor", strings.TrimPrefix(tool.Call{}.Run(t, "zizmor", "--version"), "zizmor "), "the workflows' security")
}

// Each kind of mistake in a workflow is found, by this test or by the tool that is named.
func TestWrongWorkflowsAreFound(t *testing.T) {
	_, texts, makefile := workflows(t)
	const checkout = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"
	for _, c := range []struct{ file, old, new, by, want string }{
		{"ci.yml", checkout, "actions/checkout@v4", "", "is not pinned"},
		{"ci.yml", checkout, "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683", "", "no digest with a version behind it"},
		{"ci.yml", checkout, "actions/checkout@11bd719 # v4.2.2", "", "is not pinned"},
		{"ci.yml", "run: make test", "run: make tests", "", "there is no goal tests"},
		{"release.yml", "make release VERSION", "make releases VERSION", "", "there is no goal releases"},
		{"ci.yml", "  contents: read", "  contents: write", "", "permissions of all jobs"},
		{"ci.yml", "permissions:\n  contents: read\n", "", "", "permissions of all jobs"},
		{"ci.yml", "    timeout-minutes: 90\n", "    permissions: {packages: write}\n", "", "it may write packages"},
		{"ci.yml", "    timeout-minutes: 90\n", "", "", "no timeout"},
		{"ci.yml", "debian:12@sha256:", "debian:12#", "", "has no digest"},
		{"ci.yml", "persist-credentials: false", "persist-credentials: true", "", "left in the working copy"},
		{"release.yml", `VERSION="$GITHUB_REF_NAME"`, "VERSION=${{ github.ref_name }}", "", "writes text into a script"},
		{"release.yml", `VERSION="$GITHUB_REF_NAME"`, "VERSION=${{ github.ref_name }}", "zizmor", "template-injection"},
		{"ci.yml", checkout, "actions/checkout@v4", "zizmor", "unpinned-uses"},
		{"release.yml", "needs: [files, image]", "needs: [files, images]", "actionlint", "images"},
		{"release.yml", "steps.push.outputs.name", "steps.pushed.outputs.name", "actionlint", "pushed"},
		{"release.yml", `--tag "$image:${GITHUB_REF_NAME#v}"`, `--tag $image:${GITHUB_REF_NAME#v}`, "actionlint", "SC2086"},
	} {
		text := planted.In(t, texts[c.file], c.old, c.new)
		file := filepath.Join(t.TempDir(), ".github", "workflows", c.file)
		planted.Write(t, file, text)
		var found string
		switch c.by {
		case "":
			found = strings.Join(flaws(t, c.file, text, makefile), "\n")
		case "actionlint":
			found = tool.Call{}.Refused(t, "actionlint", "-no-color", file)
		case "zizmor":
			found = tool.Call{}.Refused(t, "zizmor", "--offline", "--no-progress", file)
		}
		if !strings.Contains(found, c.want) {
			t.Errorf("%s: %q for %q: found %q, not %q", c.by, c.new, c.old, found, c.want)
		}
	}
}
