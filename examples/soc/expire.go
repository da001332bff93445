package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// expire shows what tarn is for: the table's records are deleted past what this instance has read of them.
//
// The groups and the view stop. Another instance with a state directory of its own takes over and the feed goes on, so
// that the table's topic grows beyond the checkpoints left here. Then the broker deletes records up to a place between
// those checkpoints and the end. A reader that went on from its old table would serve rows that nobody else can see.
func (a *app) expire(ctx context.Context, first *groups, lines int64) error {
	before, err := a.handle(ctx, first, lines/2)
	if err != nil {
		return err
	}
	checkpoints, err := a.ends()
	if err != nil {
		return err
	}
	a.say("half of the lines handled: %d addresses in the table; groups and view are stopped", len(before))

	other, err := a.startGroups(ctx, "other")
	if err != nil {
		return err
	}
	full, err := a.handle(ctx, other, 0)
	if err != nil {
		return err
	}
	a.say("an instance elsewhere handled the rest: %d addresses in the table", len(full))
	if err := a.deleteRecords(checkpoints); err != nil {
		return err
	}

	a.say("this instance starts again:")
	a.plans.Store(true)
	again, err := a.startGroups(ctx, "")
	if err != nil {
		return err
	}
	after, err := a.handle(ctx, again, 0)
	if err != nil {
		return err
	}
	a.sayGone(full, after)
	return nil
}

func (a *app) say(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

// handle feeds up to a line (0: all), waits until it is handled, stops the groups, and gives the table's addresses.
func (a *app) handle(ctx context.Context, g *groups, to int64) ([]string, error) {
	a.table.of(g)
	var addresses []string
	err := a.showWhile(g.crew.ctx, func(ctx context.Context) error {
		if err := a.feed(ctx, to); err != nil {
			return err
		}
		return a.settled(ctx, g)
	})
	rows, rowsErr := a.table.rows()
	for _, row := range rows {
		addresses = append(addresses, row.Address)
	}
	slices.Sort(addresses)
	return addresses, errors.Join(err, rowsErr, g.crew.stop(), ctx.Err())
}

// ends are the ends of the table's topic by partition; after a clean stop they are the checkpoints, too.
func (a *app) ends() ([]int64, error) {
	ends := make([]int64, partitions)
	for p := range ends {
		b, err := a.broker.Bounds(a.monitor.attackers.Name(), int32(p))
		if err != nil {
			return nil, err
		}
		ends[p] = b.End
	}
	return ends, nil
}

// deleteRecords deletes the table's records up to half-way between the checkpoints and the end.
func (a *app) deleteRecords(checkpoints []int64) error {
	name := a.monitor.attackers.Name()
	ends, err := a.ends()
	if err != nil {
		return err
	}
	for p, end := range ends {
		from := checkpoints[p]
		to := from + (end-from+1)/2
		if to == from {
			continue
		}
		if err := a.broker.DeleteRecords(name, int32(p), to); err != nil {
			return err
		}
		a.say("%s/%d: records below offset %d deleted; the checkpoint here is %d, the log's end %d", name, p, to, from, end)
	}
	return nil
}

// sayGone lists the addresses whose newest row was among the deleted records.
func (a *app) sayGone(full, after []string) {
	gone := slices.DeleteFunc(slices.Clone(full), func(address string) bool {
		_, found := slices.BinarySearch(after, address)
		return found
	})
	a.say("%d addresses in the table; %d rightly disappeared, since their newest record was deleted:", len(after), len(gone))
	for i, address := range gone {
		if i == shown {
			a.say("    and %d more", len(gone)-shown)
			break
		}
		a.say("    %s", address)
	}
}
