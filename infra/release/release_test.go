// Package release tests how a release is made: the files of `make release` and the workflows of GitHub Actions.
package release

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

const version = "v0.1.0-rc.1"

// copyTree copies what a release is made of into a folder of its own: others may work in the repository meanwhile.
func copyTree(t testing.TB, root, to string) {
	t.Helper()
	for _, name := range []string{
		"functions", "mediad", "shared", "infra/systemd", "infra/release", "infra/compose", "site", "go.mod", "go.sum", "Makefile", "LICENSE", "README.md", ".ci/tools",
	} {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if d.IsDir() {
				if d.Name() == "node_modules" {
					return fs.SkipDir
				}
				return os.MkdirAll(filepath.Join(to, rel), 0o755)
			}
			if !d.Type().IsRegular() {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(to, rel), text, info.Mode())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Two releases that are made in different folders of equal sources are equal, byte by byte; sums and lists of parts are right. To be quick
// they are of one architecture and one function.
func TestRelease(t *testing.T) {
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	first, second := filepath.Join(t.TempDir(), "here"), filepath.Join(t.TempDir(), "there", "and", "deeper")
	copyTree(t, root, first)
	copyTree(t, first, second)
	var sums []string
	for _, dir := range []string{first, second} {
		sums = append(sums, tool.Call{Dir: dir}.Run(t, "make", "-s", "release", "VERSION="+version, "EPOCH=1750000000", "ARCHES=amd64",
			"LAMBDAS=create", "RELEASE_SYSTEMS=", "TOOLS="+filepath.Join(root, "bin", "tools")))
	}
	if sums[0] != sums[1] || sums[0] == "" {
		t.Errorf("two releases of equal sources differ:\n%s\n%s", sums[0], sums[1])
	}
	out := filepath.Join(first, "bin", "release")
	tool.Call{Dir: out}.Run(t, "sha256sum", "--check", "--strict", "SHA256SUMS")
	listed := len(strings.Split(strings.TrimSpace(sums[0]), "\n"))
	if files, err := os.ReadDir(out); err != nil || len(files) != listed+1 {
		t.Errorf("%d files, of which SHA256SUMS lists %d, %v", len(files), listed, err)
	}

	pion := regexp.MustCompile(`github.com/pion/webrtc/v4 (v\S+)`).FindStringSubmatch(planted.Read(t, filepath.Join(root, "go.mod")))
	if got := parts(t, filepath.Join(out, "mediad_"+version+"_amd64.cdx.json"))["github.com/pion/webrtc/v4"]; pion == nil || got != pion[1] {
		t.Errorf("the list of mediad's parts has pion %q, go.mod %q", got, pion)
	}
	list := parts(t, filepath.Join(out, "create_"+version+".cdx.json"))
	if list["github.com/redis/go-redis/v9"] == "" || list["github.com/pion/webrtc/v4"] != "" {
		t.Errorf("the parts of a function: %v", list)
	}
	z, err := zip.OpenReader(filepath.Join(out, "create.zip"))
	if err != nil {
		t.Fatal(err)
	}
	if len(z.File) != 1 || z.File[0].Name != "bootstrap" || z.File[0].Mode().Perm()&0o111 == 0 {
		t.Error("create.zip is not one program named bootstrap")
	}
	_ = z.Close()
	deb := filepath.Join(out, "mediad_"+strings.TrimPrefix(version, "v")+"_amd64.deb")
	if v := strings.TrimSpace(tool.Call{}.Run(t, "dpkg-deb", "--field", deb, "Version")); v != "0.1.0~rc.1" {
		t.Errorf("the package's version is %q", v)
	}
	tool.Checked(t, "sha256sum", "", fmt.Sprintf("SHA256SUMS of the %d files of a release; a second one, made elsewhere, is equal", listed))
	tool.Checked(t, "cyclonedx-gomod", "", "the parts of mediad and of a function, read out of the programs")

	// The sums find a file that was changed.
	if err := os.WriteFile(filepath.Join(out, "create.zip"), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := (tool.Call{Dir: out}).Refused(t, "sha256sum", "--check", "--strict", "SHA256SUMS"); !strings.Contains(said, "create.zip: FAILED") {
		t.Errorf("a changed file is not named: %s", said)
	}
}

// A release is that of a tag: anything else is refused before something is built.
func TestReleaseWantsATag(t *testing.T) {
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"dev", "v1.2", "b348790", "v1.2.3-dirty", "v1.2.3-4-gabcdef0", "v1.2.3;id", ""} {
		said := tool.Call{Dir: root}.Refused(t, "make", "-s", "release", "VERSION="+v, "BIN="+t.TempDir(), "TOOLS="+filepath.Join(root, "bin", "tools"))
		if !strings.Contains(said, "is not the version of a tag; say which: make release VERSION=v1.2.3") {
			t.Errorf("%q: %s", v, said)
		}
	}
}

// parts reads a list of parts: versions by name.
func parts(t testing.TB, file string) map[string]string {
	t.Helper()
	var bom struct {
		BOMFormat, SpecVersion, SerialNumber string
		Metadata                             struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal([]byte(planted.Read(t, file)), &bom); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion == "" || bom.SerialNumber != "" || bom.Metadata.Component.Version != version {
		t.Errorf("%s: %q %q of %+v", file, bom.BOMFormat, bom.SpecVersion, bom.Metadata.Component)
	}
	list := map[string]string{}
	for _, c := range bom.Components {
		if c.PURL == "" {
			t.Errorf("%s: %s has no address", file, c.Name)
		}
		list[c.Name] = c.Version
	}
	return list
}
