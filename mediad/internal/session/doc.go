// Package session runs the life of each publisher and each viewer of this node, from its POST to its end.
//
// Package httpapi calls Service; every session is one goroutine, Run of Publisher or Viewer, which owns the session's state and
// ends it. Two small state machines, lifecycle.go and negotiation.go, hold the rules and know no I/O.
package session
