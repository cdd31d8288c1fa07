package proc

import "syscall"

// DieWithParent makes a program end with the test binary even when that is killed and no cleanup runs.
//
// The kernel ties the signal to the thread that started the program, so a thread that ends would end it too early; Go
// ends a thread only when a goroutine locked to it returns, which no test here does.
func DieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
