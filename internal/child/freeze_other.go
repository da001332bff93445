//go:build !unix

package child

// CanFreeze tells whether Freeze does something.
const CanFreeze = false

// Freeze does nothing where processes cannot be frozen: they go on.
func (p *Process) Freeze() error { return nil }

// Thaw ends a Freeze.
func (p *Process) Thaw() error { return nil }
