//go:build unix

package admission

import (
	"syscall"
	"time"
)

// processTime is the CPU time that this process has used so far, in user and system mode, and whether it is known.
func processTime() (time.Duration, bool) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
