// Command kubecheck judges Kubernetes manifests as the API server would: it reads YAML documents from its standard input, strictly, fills
// in the defaults and validates each as a request to create it.
//
// What it has understood it prints as JSON: the objects with their defaults, and for each level of pod security what the pods do that
// the level forbids. What the API server would refuse it prints to its standard error, and ends with 1.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/util/yaml"
)

type report struct {
	Objects []json.RawMessage `json:"objects"`

	// Forbidden is what pods do, by the level that forbids it.
	Forbidden map[string][]string `json:"forbidden"`
}

func main() {
	r, err := check(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check judges all documents; its error has the faults of all.
func check(in io.Reader) (*report, error) {
	r := &report{Forbidden: map[string][]string{}}
	pods, err := newLevels()
	if err != nil {
		return nil, err
	}
	var faults []error
	seen := map[string]bool{}
	docs := yaml.NewYAMLReader(bufio.NewReader(in))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if empty(doc) {
			continue
		}
		o, err := read(doc)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if seen[o.name] {
			faults = append(faults, fmt.Errorf("%s is there twice", o.name))
		}
		seen[o.name] = true
		r.Objects = append(r.Objects, o.json)
		pods.judge(o, r.Forbidden)
	}
	if len(r.Objects)+len(faults) == 0 {
		faults = append(faults, errors.New("there is no document"))
	}
	return r, errors.Join(faults...)
}

// empty reports whether a document has nothing but comments.
func empty(doc []byte) bool {
	for line := range bytes.Lines(doc) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return false
		}
	}
	return true
}
