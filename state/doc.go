// Package state keeps one partition of a table on disk and makes it current.
//
// A Store holds the rows of one partition in a LevelDB together with a Checkpoint, which says of what stretch of the
// table's topic the rows are the fold. Restore compares the checkpoint with the log (Bounds.Plan, a pure function) and
// then resumes, or rebuilds into a new generation beside the old one, or finds nothing to do. Follow does the same and
// goes on following. Whatever happens to the disk or to the log, the rows a reader sees are those of one whole
// generation: two histories are never merged.
//
// # What is durable before what
//
// Rows, checkpoint and flush number are one LevelDB batch: after a crash a store is at one of its checkpoints. A new
// generation is durable as a whole before CURRENT names it, and CURRENT names it before the old one is removed.
package state
