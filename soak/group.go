package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// The records of a key are numbered from 0. The table has the number that comes next, so that a lost record, and a table
// that has fallen behind, show at once: as a gap. A number that was counted before comes again after a crash.
var (
	numbers = topology.NewStream("numbers", codec.Int64)
	next    = topology.NewTable("next", codec.Int64)
	seen    = topology.NewStream("seen", codec.Int64)
)

const groupName = "soak"

func follow(ctx *topology.Context, n int64) error {
	want, _, err := next.Get(ctx)
	if err != nil {
		return err
	}
	if n > want {
		return fmt.Errorf("soak: key %s: number %d comes when %d is next: a record or the table's row is lost", ctx.Key(), n, want)
	}
	return errors.Join(next.Set(ctx, max(want, n+1)), seen.Emit(ctx, ctx.Key(), n))
}

func group() (*topology.Group, error) {
	return topology.Define(groupName, topology.Input(numbers, follow), topology.Persist(next), topology.Output(seen))
}

// session is short, so that a soak has many.
const session = 2 * time.Second

func options(broker, dir string, log *slog.Logger) []processor.Option {
	return []processor.Option{processor.Brokers(broker), processor.StateDir(dir), processor.Logger(log), processor.SessionTimeout(session),
		processor.CommitInterval(50 * time.Millisecond), processor.FlushInterval(500 * time.Millisecond), processor.StopTimeout(5 * time.Second)}
}
