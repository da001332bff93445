//go:build unix

package realkafka

import "syscall"

// Pause keeps the broker from running (SIGSTOP), as a machine that is suspended; Resume lets it go on.
func (b *Broker) Pause() error { return b.process.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (b *Broker) Resume() error { return b.process.cmd.Process.Signal(syscall.SIGCONT) }
