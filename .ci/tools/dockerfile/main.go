// Command dockercheck judges files for Docker without Docker, by Docker's own libraries, and prints as JSON what they say:
//
//	dockercheck image <Dockerfile    as `docker build --check` does
//	dockercheck stack <stack.yaml    as `docker stack deploy` does, with the variables of the environment and files from here
//
// What is wrong it prints to its standard error, and ends with 1.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	digest "github.com/opencontainers/go-digest"
)

// stage is one FROM and what follows.
type stage struct {
	Name     string
	Base     string
	Platform string
	Steps    []step
}

// step is one instruction.
type step struct {
	Is    string // "RUN", "COPY", …
	Value any    // as BuildKit has it
}

// unasked answers for every image, so that no registry is asked.
type unasked struct{}

func (unasked) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, "", []byte(`{"os": "linux", "architecture": "amd64"}`), nil
}

func main() {
	judge := map[string]func(io.Reader, io.Writer) error{"image": image, "stack": stack}[strings.Join(os.Args[1:], " ")]
	if judge == nil {
		fmt.Fprintln(os.Stderr, "usage: dockercheck image|stack <file")
		os.Exit(2)
	}
	if err := judge(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dockercheck:", err)
		os.Exit(1)
	}
}

// image judges a Dockerfile.
func image(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", text)
	source.Definition = &llb.Definition{} // it is nowhere but here
	opt := dockerfile2llb.ConvertOpt{SourceMap: source, MetaResolver: unasked{}}
	found, err := dockerfile2llb.DockerfileLint(context.Background(), text, opt)
	if err != nil {
		return err
	}
	var faults []error
	if found.Error != nil {
		faults = append(faults, errors.New(found.Error.Message))
	}
	for _, w := range found.Warnings {
		faults = append(faults, fmt.Errorf("%s: %s", w.RuleName, w.Detail))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return err
	}
	parsed, _, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		return err
	}
	var stages []stage
	for _, p := range parsed {
		s := stage{Name: p.Name, Base: p.BaseName, Platform: p.Platform}
		for _, c := range p.Commands {
			s.Steps = append(s.Steps, step{c.Name(), value(c)})
		}
		stages = append(stages, s)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(stages)
}

// value is what is exported of a command: functions and private parts are not for JSON.
func value(c instructions.Command) map[string]any {
	fields := map[string]any{}
	v := reflect.Indirect(reflect.ValueOf(c))
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.IsExported() && !f.Anonymous && f.Type.Kind() != reflect.Func {
			fields[f.Name] = v.FieldByIndex(f.Index).Interface()
		}
	}
	return fields
}
