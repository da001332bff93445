package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
)

// check lets the group finish its input and compares everything with everything: each instance alone, so that it has the
// whole table, with the fold of the topic, and that with what was sent.
func (w *crew) check(ctx context.Context, c config, sent map[string]int64, opts []processor.Option) error {
	for _, s := range w.slots { // both: a broker may still count one that was killed while it joined
		if s.now == nil {
			if err := w.join(s, true); err != nil {
				return err
			}
		}
	}
	if err := w.settle(ctx, opts); err != nil {
		return errors.Join(err, w.end())
	}
	if err := w.end(); err != nil {
		return err
	}
	fold, err := w.fold()
	if err != nil {
		return err
	}
	if err := equal(fold, sent); err != nil {
		return fmt.Errorf("the table's topic and what was sent: %w", err)
	}
	for _, s := range w.slots {
		if err := w.alone(ctx, s, fold, opts); err != nil {
			return errors.Join(err, w.end())
		}
	}
	return w.emitted(sent)
}

// settle waits until the group has committed all of its input.
func (w *crew) settle(ctx context.Context, opts []processor.Option) error {
	g, err := group()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		lag, err := processor.Lag(ctx, g, opts...)
		if err != nil || lag == 0 {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case err := <-w.slots[0].ended():
			return w.slots[0].gone(err)
		case err := <-w.slots[1].ended():
			return w.slots[1].gone(err)
		case <-ctx.Done():
			return fmt.Errorf("%d records are not handled after %v: %w", lag, patience, ctx.Err())
		}
	}
}

// fold is the table as its topic has it.
func (w *crew) fold() (map[string]int64, error) {
	rows := map[string]int64{}
	err := w.each(next.Name(), func(r devbroker.Record) error {
		n, err := codec.Int64.Decode(r.Value)
		rows[string(r.Key)] = n
		return err
	})
	return rows, err
}

// each goes over the records of a topic.
func (w *crew) each(topic string, do func(devbroker.Record) error) error {
	_, n, err := w.broker.Config(topic)
	if err != nil {
		return err
	}
	for p := range int32(n) {
		records, err := w.broker.Records(topic, p)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := do(r); err != nil {
				return fmt.Errorf("%s/%d@%d: %w", topic, p, r.Offset, err)
			}
		}
	}
	return nil
}

func equal(got, want map[string]int64) error {
	for key, n := range want {
		if got[key] != n {
			return fmt.Errorf("key %s: %d, not %d", key, got[key], n)
		}
	}
	for key, n := range got {
		if _, ok := want[key]; !ok {
			return fmt.Errorf("key %s: %d, but it should not be there", key, n)
		}
	}
	return nil
}

// alone starts an instance on a slot's folder and reads its whole table.
func (w *crew) alone(ctx context.Context, s *slot, fold map[string]int64, opts []processor.Option) error {
	if err := w.join(s, true); err != nil {
		return err
	}
	i := s.now.(*inside)
	select {
	case <-i.processor.Ready():
	case err := <-i.ended():
		return s.gone(err)
	case <-time.After(patience):
		return fmt.Errorf("instance %s is not ready: %v", s.name, i.processor.Stats())
	}
	if err := w.settle(ctx, opts); err != nil {
		return err
	}
	rows := map[string]int64{}
	for key := range fold {
		n, ok, err := processor.Get(i.processor, next, key)
		if err != nil {
			return err
		}
		if ok {
			rows[key] = n
		}
	}
	if err := equal(rows, fold); err != nil {
		return fmt.Errorf("the table of instance %s and its topic: %w", s.name, err)
	}
	fmt.Fprintf(w.out, "table of %s: the fold of its topic, %d rows\n", s.name, len(rows))
	return s.leave()
}

// emitted looks for every number of every key in the output.
func (w *crew) emitted(sent map[string]int64) error {
	type place struct {
		key string
		n   int64
	}
	total, times := int64(0), map[place]int{}
	err := w.each(seen.Name(), func(r devbroker.Record) error {
		n, err := codec.Int64.Decode(r.Value)
		times[place{string(r.Key), n}]++
		total++
		return err
	})
	if err != nil {
		return err
	}
	all := int64(0)
	for key, n := range sent {
		all += n
		for i := range n {
			if times[place{key, i}] == 0 {
				return fmt.Errorf("number %d of key %s is not in %s", i, key, seen.Name())
			}
		}
	}
	if int64(len(times)) != all {
		return fmt.Errorf("%d different numbers are in %s, %d were sent", len(times), seen.Name(), all)
	}
	fmt.Fprintf(w.out, "records: %d sent, none lost, %d handled again after a crash\n", all, total-all)
	return nil
}
