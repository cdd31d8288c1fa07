//go:build tools

// Package prometheus pins the Prometheus and the promtool that the checks of infra/ run.
//
// A module of its own, built by `make setup` into bin/tools: its modules stay out of the product's go.mod. Debian's package will not do:
// it knows no Consul.
package prometheus

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
