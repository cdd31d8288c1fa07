// Package chaos lets everything fail that nodes live on and looks at what people in rooms notice; it has tests alone.
//
// The components are real: nodes as processes, each on a machine of its own (a network namespace), Redis, three NATS servers, Consul, and
// HAProxy with the configuration that is shipped. A short version runs with the other tests; `make chaos` runs all faults and
// prints a table of them.
package chaos
