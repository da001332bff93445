package main

import (
	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// tally is a key's row.
type tally struct {
	Count int64 // inputs counted
	Next  int64 // the highest number, and one
}

// step is what the group tells of one input: the row with it in it.
type step struct {
	Number int64
	tally
	// Gap counts the numbers that are missing right before this one, as the row knows.
	Gap int64
}

// The inputs of a key are numbered from 0. Keys are spread as sarama's producers do it.
var (
	numbers = topology.NewStream("numbers", codec.Int64, topology.FNV1a())
	tallies = topology.NewTable("tallies", codec.JSON[tally](), topology.FNV1a())
	steps   = topology.NewStream("steps", codec.JSON[step](), topology.FNV1a())
)

const groupName = "chaos"

// emit sends what the group tells.
type emit func(ctx *topology.Context, s step) error

func within(ctx *topology.Context, s step) error { return steps.Emit(ctx, ctx.Key(), s) }

// group counts.
func group(tell emit) (*topology.Group, error) {
	count := func(ctx *topology.Context, n int64) error {
		row, _, err := tallies.Get(ctx)
		if err != nil {
			return err
		}
		s := step{Number: n, Gap: max(0, n-row.Next), tally: tally{Count: row.Count + 1, Next: max(row.Next, n+1)}}
		if err := tallies.Set(ctx, s.tally); err != nil {
			return err
		}
		return tell(ctx, s)
	}
	return topology.Define(groupName, topology.Input(numbers, count), topology.Persist(tallies), topology.Output(steps))
}

// guarantee is what a group promises.
type guarantee string

const (
	exactlyOnce guarantee = "exactly-once"
	atLeastOnce guarantee = "at-least-once"
)

// breach is a way in which a group breaks its promise, "" for none.
type breach string

const (
	lateOutputs  breach = "outputs" // sent after the commit
	looseOffsets breach = "offsets" // committed behind the effects, without a transaction
)

func (g guarantee) options(broken breach) []processor.Option {
	if g == atLeastOnce || broken == looseOffsets {
		return []processor.Option{processor.AtLeastOnce()}
	}
	return nil // the default
}
