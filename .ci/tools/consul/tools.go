//go:build tools

// Package consul pins the Consul agent that the tests run against.
//
// A module of its own, built by `make setup` into bin/tools: the agent's licence (BUSL) and its hundreds of modules
// stay out of the product's go.mod.
package consul

import _ "github.com/hashicorp/consul"
