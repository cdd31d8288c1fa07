// Command generate reads the schema of a Terraform provider out of its npm package, made for the CDK for Terraform, and prints it as JSON.
//
//	npm pack @cdktf/provider-aws@21.22.1
//	go run ./generate cdktf-provider-aws-21.22.1.tgz aws_vpc data.aws_ami … >schema/aws.json
//
// Each class in such a package was made from the provider's own schema. Its TypeScript source lies in the source map of the compiled
// file, with a line of comment per attribute that says whether it is required, optional or computed.
package main

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"weever/tools/terraform/schema"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: generate <package.tgz> <resource or data.source>…")
	}
	sources, pkg, err := unpack(args[0])
	if err != nil {
		return err
	}
	version := regexp.MustCompile(`providerVersion: '([^']+)'`)
	name := pkg.Name[strings.LastIndex(pkg.Name, "-")+1:]
	p := schema.Provider{Source: pkg.Name + " " + pkg.Version, Resources: map[string]schema.Block{}, Data: map[string]schema.Block{}}
	if p.Config, err = block(sources["provider"], className(name+"_provider")); err != nil {
		return err
	}
	delete(p.Config.Attrs, "alias") // Terraform's own
	for _, want := range args[1:] {
		into, folder := p.Resources, want
		if data, ok := strings.CutPrefix(want, "data."); ok {
			into, folder = p.Data, "data_"+data
			want = data
		} else {
			folder = strings.TrimPrefix(want, name+"_")
		}
		src, ok := sources[strings.ReplaceAll(folder, "_", "-")]
		if !ok {
			return fmt.Errorf("%s has no %s", pkg.Name, want)
		}
		if m := version.FindStringSubmatch(src); m != nil {
			p.Version = m[1]
		}
		if into[want], err = block(src, rootClass(src)); err != nil {
			return fmt.Errorf("%s: %w", want, err)
		}
	}
	out, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(compact(out)))
	return err
}

// compact puts each attribute on one line.
func compact(b []byte) []byte {
	pair := regexp.MustCompile(`\[\s+("[a-z]+"|\[[^{}]*?\]),\s+("[roc]+")\s+\]`)
	space := regexp.MustCompile(`\s+`)
	return pair.ReplaceAllFunc(b, func(m []byte) []byte { return space.ReplaceAll(m, nil) })
}

type manifest struct{ Name, Version string }

// unpack gives the TypeScript source of each folder under lib.
func unpack(path string) (map[string]string, manifest, error) {
	var pkg manifest
	sources := map[string]string{}
	f, err := os.Open(path)
	if err != nil {
		return nil, pkg, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, pkg, err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return sources, pkg, nil
		}
		if err != nil {
			return nil, pkg, err
		}
		folder, index := strings.CutPrefix(h.Name, "package/lib/")
		folder, js := strings.CutSuffix(folder, "/index.js")
		switch {
		case h.Name == "package/package.json":
			err = json.NewDecoder(r).Decode(&pkg)
		case index && js && !strings.Contains(folder, "/"):
			sources[folder], err = typescript(r)
		}
		if err != nil {
			return nil, pkg, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// typescript reads the source out of the map at the end of a compiled file.
func typescript(r io.Reader) (string, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	_, encoded, ok := strings.Cut(string(b), "sourceMappingURL=data:application/json;base64,")
	if !ok {
		return "", nil // a list of other files
	}
	var m struct{ SourcesContent []string }
	// A byte slice in JSON is base64, too.
	var raw []byte
	if err := json.Unmarshal([]byte(`"`+strings.TrimSpace(encoded)+`"`), &raw); err != nil {
		return "", err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", err
	}
	return cmp.Or(strings.Join(m.SourcesContent, "\n"), ""), nil
}
