//go:build unix

package main

import "syscall"

// freeze keeps the process from running, thaw lets it go on: as a machine that was suspended.
func (o *outside) freeze() error { return o.cmd.Process.Signal(syscall.SIGSTOP) }
func (o *outside) thaw() error   { return o.cmd.Process.Signal(syscall.SIGCONT) }
