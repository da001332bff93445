package state_test

import (
	"context"

	"github.com/tarnstream/tarn/state"
)

// tape is a log that only plays.
type tape struct {
	records []state.Record
	chunk   int64
}

func (l *tape) Bounds(context.Context) (state.Bounds, error) {
	n := int64(len(l.records))
	return state.Bounds{End: n, Stable: n, TopicID: state.TopicID{1}}, nil
}

func (*tape) Reuse(state.Records) {} // it is played again

func (l *tape) Fetch(_ context.Context, p int64) (state.Records, error) {
	n := int64(len(l.records))
	next := min(p+l.chunk, n)
	return state.Records{Position: p, Next: next, Records: l.records[p:next], Present: next - p, Stable: n, End: n}, nil
}
