// Package topology says what a group reads, keeps and writes, and checks it. It does no I/O.
//
// A program makes typed handles, once, usually as package variables, and describes a group over them:
//
//	var clicks = topology.NewStream("clicks", codec.String)
//	var counts = topology.NewTable("clicks-count", codec.Int64)
//
//	group, err := topology.Define("clicker", topology.Input(clicks, onClick), topology.Persist(counts))
//
// A table of somebody else, a ReadTable, is read through Join, which gives a task the partition of its number, or Lookup,
// which gives every task all of it.
//
// A callback uses the same handles to read and write. What it writes takes effect when it returns nil, all of it or,
// after an error or a panic, nothing. Package processor runs the group.
package topology
