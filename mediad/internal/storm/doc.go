// Package storm lets a node meet bad networks, strangers' packets, clients that misbehave and people who come and go without end; it has
// tests alone.
//
// The node is a process of its own on a machine of its own (a network namespace), built without the race detector, with a real Redis and
// NATS. Viewers whose network is bad are processes on other machines, behind lines that delay and lose. Faults of the node's backends and
// of other nodes are package chaos's.
package storm
