package workload

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tarnstream/tarn/internal/task"
)

// lookupTime is how long a Lookup goes on at least where a job does not say: its readers finish what they have begun.
const lookupTime = 3 * time.Second

// lookUp has readers ask for every key, in an order of their own, again and again. Rows and Sum are those of one time through
// all of them: another result in a later one, or for another reader, is an error.
func lookUp(ctx context.Context, j Job, get func(key string) (value []byte, ok bool, err error)) (out Outcome, err error) {
	out.Readers = max(1, j.Readers)
	keys := make([]string, j.Shape.Keys)
	for i := range keys {
		keys[i] = keyOf(i)
	}
	found, lookups := make([]Outcome, out.Readers), make([]int64, out.Readers)
	readers, began, least := task.New(ctx), time.Now(), cmp.Or(j.Time, lookupTime)
	for i := range out.Readers {
		order := rand.New(rand.NewPCG(j.Shape.Seed, uint64(i))).Perm(len(keys))
		readers.Go("reader", func(ctx context.Context) error {
			for ctx.Err() == nil && (lookups[i] == 0 || time.Since(began) < least) {
				again, err := passOver(keys, order, get)
				if err != nil {
					return err
				}
				if lookups[i] == 0 {
					found[i] = again
				}
				if err := sameRows(found[i], again); err != nil {
					return err
				}
				lookups[i] += int64(len(keys))
			}
			return context.Cause(ctx)
		})
	}
	if err := readers.Wait(); err != nil {
		return out, err
	}
	out.Seconds, out.Peak = time.Since(began).Seconds(), PeakMemory()
	out.Rows, out.Sum = found[0].Rows, found[0].Sum
	for i := range found {
		if err := sameRows(found[0], found[i]); err != nil {
			return out, err
		}
		out.Lookups += lookups[i]
	}
	return out, nil
}

func sameRows(a, b Outcome) error {
	if a.Rows != b.Rows || a.Sum != b.Sum {
		return fmt.Errorf("a reader found %d rows with the sum %d, and then one %d with %d", a.Rows, a.Sum, b.Rows, b.Sum)
	}
	return nil
}

func passOver(keys []string, order []int, get func(string) ([]byte, bool, error)) (found Outcome, err error) {
	for _, i := range order {
		value, ok, err := get(keys[i])
		if err == nil && ok {
			err = found.add(value)
		}
		if err != nil {
			return found, err
		}
	}
	return found, nil
}
