//go:build tools

// Package release pins the program that writes the lists of parts (SBOM) of a release.
//
// A module of its own, built by `make setup` into bin/tools.
package release

import _ "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod"
