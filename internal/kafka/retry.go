package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// retry calls attempt until it succeeds or fails with an error that asking again does not cure. It waits between
// attempts. When ctx ends first, the error holds ctx's cause and the last attempt's.
func retry(ctx context.Context, attempt func() error) error {
	var last error
	for wait := newBackoff(); ; {
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
		if wait.sleep(ctx) != nil {
			return endedWith(ctx, last)
		}
	}
}

func endedWith(ctx context.Context, last error) error {
	return fmt.Errorf("kafka: %w: last: %w", context.Cause(ctx), last)
}
