package terraform

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weever/shared/testkit/tool"
)

func TestFilesAreAccepted(t *testing.T) {
	t.Parallel()
	for _, program := range programs() {
		t.Run(program, func(t *testing.T) {
			v := version(t, program)
			tool.Call{Env: environment(t)}.Run(t, program, "fmt", "-check", "-recursive", "-diff", ".")
			tool.Checked(t, program, v, "infra/terraform is formatted (fmt -check)")

			w := newWorkspace(t, program)
			w.run(t, "validate", "-no-color")
			tool.Checked(t, program, v, "infra/terraform against the providers' schemas (init, validate)")

			w.run(t, "test", "-no-color")
			tool.Checked(t, program, v, "infra/terraform makes what tests/ expect, providers mocked (test)")
		})
	}
}

func TestLinters(t *testing.T) {
	config, err := filepath.Abs(".tflint.hcl")
	if err != nil {
		t.Fatal(err)
	}
	tool.Call{}.Run(t, "tflint", "--recursive", "--config="+config)
	tool.Checked(t, "tflint", word(tool.Call{}.Run(t, "tflint", "--version"), 2), "infra/terraform, all rules for Terraform")

	tool.Call{}.Run(t, "tfsec", ".", "--no-color")
	tool.Checked(t, "tfsec", "v1.26.0", "infra/terraform has no finding without a written reason")
}

func word(text string, n int) string {
	if f := strings.Fields(text); n < len(f) {
		return f[n]
	}
	return text
}

// Who uses another type of resource has to take its schema along, and one that nobody uses goes.
func TestSchemasAreThoseOfTheTypesThatAreUsed(t *testing.T) {
	used := map[string]bool{}
	files, err := filepath.Glob("modules/*/*.tf")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "main.tf") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range usedType.FindAllStringSubmatch(string(data), -1) {
			used[strings.ReplaceAll(m[1], "data", "data.")+" "+m[2]] = true
		}
	}
	there := map[string]bool{}
	for _, name := range []string{"aws", "random", "tls"} {
		data, err := os.ReadFile("../../.ci/tools/terraform/schema/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var p struct{ Resources, Data map[string]any }
		if err := json.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		for r := range p.Resources {
			there["resource "+r] = true
		}
		for d := range p.Data {
			there["data. "+d] = true
		}
	}
	for name := range used {
		if !there[name] {
			t.Errorf("%s has no schema: make terraform-schema", name)
		}
	}
	for name := range there {
		if !used[name] {
			t.Errorf("%s is used by no file: make terraform-schema", name)
		}
	}
}
