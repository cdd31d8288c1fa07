//go:build unix

package load

import (
	"syscall"
	"time"
)

// cpuTime is what this process has used so far, in user and system mode; 0 where the system does not tell.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
