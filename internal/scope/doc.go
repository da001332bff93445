// Package scope is the seam between a typed handle of package topology and a task of package processor.
//
// A Group describes what topology.Define checked. A Frame is one task's view of it: an Overlay for each table, the
// emissions, and the record in hand. The naive way is a map of any: every Get boxes a value and asserts its type, and
// a half-done callback has already written. Here each Overlay is typed by its handle, a Frame finds it by the handle's
// pointer among the few of the group, and what a callback writes stays aside until Accept; Discard forgets it.
//
// Nothing here is safe for concurrent use: a Frame belongs to the goroutine of its task.
package scope
