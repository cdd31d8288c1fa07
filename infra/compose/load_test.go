// Package compose tests the Compose and swarm files, the image of mediad, and that together they are a Weever that carries media.
//
// No container engine runs in a test. The files are read by Compose's own library, the Dockerfile by BuildKit's; then the image's steps are
// carried out in a folder, and every service is started as the file says: its command, environment, mounts, user and address, in a
// network namespace and a root of its own.
package compose

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

const (
	composeFile = "compose.yaml"
	swarmFile   = "swarm.yaml"
)

// load reads a file as `docker compose config` does, with these variables and no others.
func load(file string, env ...string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithEnv(env), cli.WithResolvedPaths(true), cli.WithProfiles([]string{"*"}), cli.WithName("weever"))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

// mustLoad is load for what is shipped.
func mustLoad(t *testing.T, file string, env ...string) *types.Project {
	t.Helper()
	p, err := load(file, env...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// mutated is a copy of a file, in a copy of its place, with a piece of its text replaced.
func mutated(t *testing.T, file, old, next string) string {
	t.Helper()
	text := planted.In(t, planted.Read(t, file), old, next)
	dir := t.TempDir()
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "infra"), os.DirFS(filepath.Join(root, "infra"))); err != nil {
		t.Fatal(err)
	}
	planted.Write(t, filepath.Join(dir, "LICENSE"), "") // the Dockerfile takes it
	out := filepath.Join(dir, "infra", "compose", file)
	planted.Write(t, out, text)
	return out
}

// required is the version of a module in the go.mod of a tool.
func required(t *testing.T, name, module string) string {
	t.Helper()
	text := planted.Read(t, filepath.Join("..", "..", ".ci", "tools", name, "go.mod"))
	m := regexp.MustCompile(`(?m)\b` + regexp.QuoteMeta(module) + ` (v\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s does not require %s", name, module)
	}
	return m[1]
}

// version of a module that the tests were built with.
func version(t *testing.T, module string) string {
	t.Helper()
	return strings.TrimSpace(tool.Call{}.Run(t, "go", "list", "-m", "-f", "{{.Version}}", module))
}
