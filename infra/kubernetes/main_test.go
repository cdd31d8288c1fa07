package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"weever/shared/testkit/tool"
)

// entrypoint is that of the image.
const entrypoint = "/usr/bin/mediad"

// builds is where programs are built, once for all tests.
var builds struct {
	dir   string
	image sync.Once
}

func TestMain(m *testing.M) {
	var err error
	if builds.dir, err = os.MkdirTemp("", "weever-kubernetes-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // it is main here
	}
	code := m.Run()
	_ = os.RemoveAll(builds.dir)
	os.Exit(code) //nolint:forbidigo // it is main here
}

// image is a folder with what the image has: mediad and its helper, built to run without a C library.
func image(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(builds.dir, "image")
	builds.image.Do(func() {
		root, err := tool.Root()
		if err != nil {
			t.Fatal(err)
		}
		for _, source := range []string{"./mediad", "./infra/compose/helper"} {
			out := filepath.Join(dir, filepath.Dir(entrypoint), filepath.Base(source))
			tool.Call{Dir: root, Env: []string{"CGO_ENABLED=0"}}.Run(t, "go", "build", "-o", out, source)
		}
	})
	return dir
}

// program is mediad in it.
func program(t *testing.T) string {
	t.Helper()
	return filepath.Join(image(t), entrypoint)
}
