//go:build !invariants && !race

package invariant

// Enabled tells whether Check checks. It is a constant: what stands behind `if invariant.Enabled` is compiled only then.
const Enabled = false
