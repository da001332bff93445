package streamtest

import "testing"

// FailTo has a kit fail another test than its own, for tests of the kit.
func (k *Kit) FailTo(t testing.TB) { k.t = t }
