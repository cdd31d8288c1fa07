// Package schema holds what Terraform's providers for AWS, random and TLS take and give: of the resources and data sources that
// infra/terraform uses, no others. The files are made by ../generate.
package schema

import (
	"embed"
	"encoding/json"
	"fmt"
)

//go:embed *.json
var files embed.FS

// Provider is one provider.
type Provider struct {
	Source    string           `json:"source"` // npm package that it was read from
	Version   string           `json:"version"`
	Config    Block            `json:"config"`
	Resources map[string]Block `json:"resources"`
	Data      map[string]Block `json:"data,omitempty"`
}

// Block is a resource, a data source or a block in one.
type Block struct {
	Attrs  map[string]Attr   `json:"attrs,omitempty"`
	Blocks map[string]Nested `json:"blocks,omitempty"`
}

// Attr is an attribute: its type, in the JSON form of Terraform's types, and letters: r required, o optional, c computed.
type Attr [2]json.RawMessage

// Type is the attribute's type.
func (a Attr) Type() json.RawMessage { return a[0] }

// Is says whether one of its letters is there.
func (a Attr) Is(letter byte) bool {
	for _, b := range a[1] {
		if b == letter {
			return true
		}
	}
	return false
}

// Nested is a block in a block.
type Nested struct {
	Nest  string `json:"nest"` // list, set or single
	Min   int64  `json:"min,omitempty"`
	Max   int64  `json:"max,omitempty"`
	Block Block  `json:"block"`
}

// Load reads one provider: aws, random or tls.
func Load(name string) (Provider, error) {
	b, err := files.ReadFile(name + ".json")
	if err != nil {
		return Provider{}, fmt.Errorf("there is no schema of the provider %q: %w", name, err)
	}
	var p Provider
	if err := json.Unmarshal(b, &p); err != nil {
		return Provider{}, fmt.Errorf("%s.json: %w", name, err)
	}
	return p, nil
}
