package processor

import (
	"context"

	"github.com/tarnstream/tarn/state"
)

// slot is one log's part in a bounded number of restores that work at a time. It is the restore's state.Log, and used by
// its goroutine only.
//
// The naive way takes a slot when a restore begins and gives it back at its end. Logs whose broker is away then have all
// slots for as long as that lasts, and tables of the brokers that are there wait with them. The rule: a restore has a slot
// while it opens its store and while records come, and gives it back where only a broker can be waited for.
type slot struct {
	state.Log // set once the store is open
	free      chan struct{}
	has, over bool
}

func newSlot(env *environment) *slot { return &slot{free: env.restoring} }

// take waits for a slot, unless there is one or none is needed any more.
func (s *slot) take(ctx context.Context) error {
	if s.has || s.over {
		return nil
	}
	select {
	case s.free <- struct{}{}:
		s.has = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *slot) release() {
	if s.has {
		s.has = false
		<-s.free
	}
}

// end releases the slot for good: the log's end was reached, or will not be.
func (s *slot) end() {
	s.over = true
	s.release()
}

// Bounds implements state.Log.
func (s *slot) Bounds(ctx context.Context) (state.Bounds, error) {
	s.release()
	return s.Log.Bounds(ctx)
}

// Fetch implements state.Log.
func (s *slot) Fetch(ctx context.Context, position int64) (state.Records, error) {
	if err := s.take(ctx); err != nil {
		return state.Records{}, err
	}
	rs, err := s.Log.Fetch(ctx, position)
	if err != nil || rs.Next == rs.Position {
		s.release()
	}
	return rs, err
}
