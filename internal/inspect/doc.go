// Package inspect is what the command line knows of state on disk: what is there, what a start would make of it, and what
// stands in it. It changes nothing; see cmd/tarn for the commands.
package inspect
