//go:build !linux

package proc

import "syscall"

// DieWithParent does nothing here: only Linux offers it. Cleanups end the programs.
func DieWithParent() *syscall.SysProcAttr { return nil }
