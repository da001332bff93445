package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
)

// retry calls attempt until it succeeds or fails with an error that asking again does not cure. It waits between
// attempts, for markers of a transaction less long. When ctx ends first, the error holds ctx's cause and the last attempt's.
func retry(ctx context.Context, attempt func() error) error {
	var last error
	trouble, markers := newBackoff(), newMarkerBackoff()
	for {
		err := attempt()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return endedWith(ctx, cmp.Or(last, err))
		case !retriable(err) && !errors.Is(err, errNoAnswer):
			return err
		}
		last = err
		wait := trouble
		if e, ok := errors.AsType[*Error](err); ok && e.Code == int16(sarama.ErrConcurrentTransactions) {
			wait = markers
		}
		if wait.sleep(ctx) != nil {
			return endedWith(ctx, last)
		}
	}
}

func endedWith(ctx context.Context, last error) error {
	return fmt.Errorf("kafka: %w: last: %w", context.Cause(ctx), last)
}
