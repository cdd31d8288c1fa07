// Package kubernetes checks the Helm chart: by helm, by the API server's own validation, and by running its pod with real programs.
package kubernetes

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

const (
	chart = "weever"
	// kubernetes is the version that the tools in .ci/tools/kubernetes are of.
	kubernetes = "1.37"
)

// least is what every installation has to say.
var least = []string{"--set", "image.repository=registry.example/weever/mediad", "--set", "image.tag=1.0.0", "--set", "secret.name=weever"}

// with is least and more.
func with(more ...string) []string { return append(append([]string{}, least...), more...) }

// sets is with, for values in helm's short form.
func sets(values ...string) []string {
	args := with()
	for _, v := range values {
		args = append(args, "--set", v)
	}
	return args
}

// setJSON is with, for what the short form cannot say.
func setJSON(value string) []string { return with("--set-json", value) }

// template renders a chart as the release "media" in the namespace "calls".
func template(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return tool.Call{}.Run(t, "helm", append([]string{"template", "media", dir, "--namespace", "calls"}, args...)...)
}

// manifests are what a chart has made, as the API server understands it.
type manifests struct {
	yaml      string
	Objects   []object
	Forbidden map[string][]string
}

type object struct {
	Kind     string
	Metadata struct {
		Name                string
		Labels, Annotations map[string]string
	}
	Automount *bool `json:"automountServiceAccountToken"`
	Spec      json.RawMessage
}

// accepted asks for manifests that the API server would take.
func accepted(t *testing.T, yaml string) *manifests {
	t.Helper()
	m := &manifests{yaml: yaml}
	if err := json.Unmarshal([]byte(tool.Call{Stdin: yaml}.Run(t, "kubecheck")), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// all gives the objects of a kind.
func (m *manifests) all(kind string) (found []object) {
	for _, o := range m.Objects {
		if o.Kind == kind {
			found = append(found, o)
		}
	}
	return found
}

// spec reads what an object is to be.
func spec[T any](t *testing.T, o object) (s T) {
	t.Helper()
	if err := json.Unmarshal(o.Spec, &s); err != nil {
		t.Fatalf("%s %s: %v", o.Kind, o.Metadata.Name, err)
	}
	return s
}

// deployment is the one of mediad.
func (m *manifests) deployment(t *testing.T) deployment {
	t.Helper()
	all := m.all("Deployment")
	if len(all) != 1 {
		t.Fatalf("there are %d Deployments", len(all))
	}
	return spec[deployment](t, all[0])
}

// mediad is the pod's container of that name.
func (d *deployment) mediad(t *testing.T) container {
	t.Helper()
	for _, c := range d.Template.Spec.Containers {
		if c.Name == "mediad" {
			return c
		}
	}
	t.Fatal("no container is named mediad")
	return container{}
}

// copyOfChart is one that a test may spoil.
func copyOfChart(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), chart)
	err := filepath.WalkDir(chart, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(chart, path)
		if err != nil {
			return err
		}
		planted.Write(t, filepath.Join(dir, name), string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// replacing is a copy of the chart with a mistake in every place of one file that has a text.
func replacing(t *testing.T, file, wrong, right string) string {
	t.Helper()
	dir := copyOfChart(t)
	path := filepath.Join(dir, file)
	planted.Write(t, path, planted.Everywhere(t, planted.Read(t, path), right, wrong))
	return dir
}

func join(words []string) string { return strings.Join(words, ", ") }
