package topology

import "github.com/tarnstream/tarn/internal/scope"

// InputOption says how an Input treats its records.
type InputOption func(*inputEdge)

// inputEdge is an Input while its options are applied.
type inputEdge struct {
	scope.Input
	faults []string
}

// OnDelete hands records with a null value to fn, in their place among the others of the partition, instead of skipping
// them. The record's key may be null too; see HasKey.
func OnDelete(fn func(ctx *Context) error) InputOption {
	return func(in *inputEdge) {
		if fn == nil {
			in.faults = append(in.faults, "the callback of OnDelete is nil")
			return
		}
		in.OnDelete = func(f *scope.Frame) error { return fn(contextOf(f)) }
	}
}
