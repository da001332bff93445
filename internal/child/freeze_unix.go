//go:build unix

package child

import "syscall"

// CanFreeze tells whether Freeze does something.
const CanFreeze = true

// Freeze keeps the process from running (SIGSTOP), as a machine that is suspended; Thaw lets it go on.
func (p *Process) Freeze() error { return p.Signal(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (p *Process) Thaw() error { return p.Signal(syscall.SIGCONT) }
