// Command stub is a Terraform provider that has a schema and does nothing: what `validate` and `test` with a mocked provider need of one.
//
// It is started as terraform-provider-aws, -random or -tls, and serves the schema of that name from schema/.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"weever/tools/terraform/schema"
)

func main() {
	name := strings.TrimPrefix(filepath.Base(os.Args[0]), "terraform-provider-")
	name, _, _ = strings.Cut(name, "_") // terraform-provider-aws_v6.25.0
	p, err := schema.Load(name)
	if err == nil {
		err = tf6server.Serve("registry.terraform.io/hashicorp/"+name, func() tfprotov6.ProviderServer { return &stub{provider: p} })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
