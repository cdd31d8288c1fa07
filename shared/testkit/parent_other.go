//go:build !linux

package testkit

import "syscall"

// dieWithParent does nothing here: only Linux offers it. Cleanups end the programs.
func dieWithParent() *syscall.SysProcAttr { return nil }
