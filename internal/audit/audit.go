package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// Table is what is compared: rows in key order, which are the fold of the log below the checkpoint's position.
type Table struct {
	Rows state.Iterator
	// Disk is the store's Snapshot that Rows walk over, or are, of which the digest is compared; it may be nil.
	Disk       state.Iterator
	Checkpoint state.Checkpoint
}

// Options are those of Compare; zero is a good default.
type Options struct {
	Place observe.Place
	// Bytes bounds what the fold of the log takes, nearly: 32 MiB by default. The less, the more passes over the log.
	Bytes int
	// Differences is how many are told one by one, 10 by default.
	Differences int
	// Now is time.Now by default.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	o.Bytes = cmp.Or(o.Bytes, 32<<20)
	o.Differences = cmp.Or(o.Differences, 10)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Compare compares t with its log. The rows are walked over once; t.Rows is left to the caller to close. The log may grow
// and be compacted meanwhile. What it says of the comparison is in the audit, trouble too: see Audit.Err.
//
// The naive way folds the log below the position into a map and compares. It takes memory for the whole table, and finds
// differences that are none where the cleaner takes a record below the position because there is a newer one above. Here:
//
//   - The keys are compared in stretches of key order. A pass over the log folds what fits into memory, the keys from lo on;
//     when it is too much the upper half is given up, and left to the next pass. Both sides go forward together, so one
//     snapshot of the rows does for all passes. A value is kept as its hash.
//   - A pass goes on reading above the position until it has seen all that was in the log when it got there. A key met there
//     cannot be compared, and is counted as changed: a record that is missing below was taken because of one above.
func Compare(ctx context.Context, t Table, log state.Log, o Options) observe.Audit {
	o = o.withDefaults()
	a := &auditor{log: log, cp: t.Checkpoint, rows: rows{it: t.Rows}, o: o, began: o.Now(), out: observe.Audit{Place: o.Place, Position: t.Checkpoint.Position}}
	if a.out.Err = a.run(ctx); a.out.Err == nil {
		a.digests(t.Disk)
	}
	a.out.Took = o.Now().Sub(a.began)
	return a.out
}

// digests asks a store's rows that were walked over for their digest, and for what was stored of them.
func (a *auditor) digests(disk state.Iterator) {
	rows, ok := disk.(interface {
		Digests() (walked, stored digest.Sum)
	})
	if ok {
		now, stored := rows.Digests()
		a.out.Digest, a.out.Stored = known(now), known(stored)
	}
}

func known(s digest.Sum) string {
	if !s.Known() {
		return ""
	}
	return s.String()
}

type auditor struct {
	log   state.Log
	cp    state.Checkpoint
	rows  rows
	o     Options
	began time.Time
	start int64        // newest log start heard of
	heard state.Bounds // newest bounds
	fold  fold
	out   observe.Audit
}

func (a *auditor) run(ctx context.Context) error {
	for lo := []byte(nil); ; lo = a.fold.hi {
		a.out.Passes++
		a.fold.begin(lo, a.o.Bytes)
		if err := a.read(ctx); err != nil {
			return err
		}
		if err := a.compare(ctx); err != nil {
			return err
		}
		if a.fold.hi == nil {
			return nil
		}
	}
}

// mostRounds bounds how often a pass looks whether the log has grown meanwhile. A record is missed only when the cleaner
// takes it in the short time between two looks, in each of them.
const mostRounds = 5

// read folds the log below the position, and notes the keys of what is above.
func (a *auditor) read(ctx context.Context) error {
	b, err := a.list(ctx)
	if err != nil {
		return err
	}
	at, err := a.readTo(ctx, b.Start, a.cp.Position)
	for round := 0; err == nil && round < mostRounds; round++ {
		if b, err = a.list(ctx); err == nil && at >= b.Stable {
			return nil
		}
		if err == nil {
			at, err = a.readTo(ctx, at, b.Stable)
		}
	}
	return err
}

// list asks for the bounds and judges them: a log that the table would be rebuilt from is not compared.
func (a *auditor) list(ctx context.Context) (state.Bounds, error) {
	b, err := a.log.Bounds(ctx)
	if err != nil {
		return b, err
	}
	switch p := b.Plan(a.cp, true, a.o.Now()); {
	case p.Decision == 0:
		return b, fmt.Errorf("audit: %s", p.Cause)
	case p.Decision == state.Rebuild && p.Err != nil:
		return b, a.named(p.Err)
	case p.Decision == state.Rebuild && !p.Unchecked:
		return b, fmt.Errorf("audit: the table is not the log's: %s", p.Cause)
	}
	a.start, a.heard = max(a.start, b.Start), b
	return b, nil
}

func (a *auditor) named(err error) error {
	if reset, ok := errors.AsType[*state.LogResetError](err); ok {
		reset.Topic, reset.Partition = a.out.Topic, a.out.Partition
	}
	return err
}

// stuckAfter is how long a pass waits for records that the log says it has.
const stuckAfter = 2 * time.Minute

// readTo reads until the position is end or above, and gives it.
func (a *auditor) readTo(ctx context.Context, at, end int64) (int64, error) {
	moved := a.o.Now()
	for at < end {
		if ctx.Err() != nil {
			return at, context.Cause(ctx)
		}
		rs, err := a.log.Fetch(ctx, at)
		if _, out := errors.AsType[*state.OutOfRangeError](err); out { // the log start passes: what was there is no difference
			b, err := a.list(ctx)
			if err == nil && b.Start <= at {
				err = fmt.Errorf("audit: position %d is refused, though the log is from %d to %d", at, b.Start, b.End)
			}
			if err != nil {
				return at, err
			}
			at = b.Start
			continue
		}
		if err != nil {
			return at, err
		}
		a.take(rs)
		if rs.Next > at {
			at, moved = rs.Next, a.o.Now()
		}
		if waited := a.o.Now().Sub(moved); waited > stuckAfter {
			return at, &state.HangingTransactionError{Topic: a.out.Topic, Partition: a.out.Partition, Position: at, Stable: rs.Stable, End: end, Waited: waited}
		}
	}
	return at, nil
}

func (a *auditor) take(rs state.Records) {
	a.start = max(a.start, rs.LogStart)
	for i := range rs.Records {
		r := &rs.Records[i]
		a.out.Records++
		if r.Key != nil {
			a.fold.add(r, r.Offset >= a.cp.Position)
		}
	}
}

// compare compares the stretch of keys that was folded.
func (a *auditor) compare(ctx context.Context) error {
	var found []observe.Difference
	differ := func(d observe.Difference) {
		a.out.Different++
		if len(found) < a.o.Differences {
			found = append(found, d)
		}
	}
	for a.rows.next(a.fold.hi) {
		a.out.Rows++
		a.judge(differ)
	}
	if err := a.rows.it.Err(); err != nil {
		return err
	}
	missing := a.fold.left(func(e *entry) bool { return !e.newer && e.offset >= a.start })
	a.out.Different += int64(len(missing))
	found = append(found, missing[:min(len(missing), a.o.Differences)]...)
	sortDifferences(found)
	for _, d := range found[:min(len(found), a.o.Differences-len(a.out.Differences))] {
		if err := a.fill(ctx, d.Topic); err != nil {
			return err
		}
		a.out.Differences = append(a.out.Differences, d)
	}
	return nil
}

// judge looks at the row in hand.
func (a *auditor) judge(differ func(observe.Difference)) {
	key, row := a.rows.it.Key(), a.rows.it.Row()
	e := a.fold.takeOut(key)
	switch {
	case e != nil && e.newer:
		a.out.Changed++
	case e != nil && e.offset == row.Offset && e.sum == sumOf(row.Value):
	case e == nil && row.Offset < a.start:
		a.out.Below++
	case e == nil && a.unproven():
		a.out.Unproven++
	default:
		row.Value = bytes.Clone(row.Value)
		d := observe.Difference{Key: bytes.Clone(key), Table: &row}
		if e != nil {
			d.Topic = &state.Row{Offset: e.offset}
		}
		differ(d)
	}
}

// unproven tells whether a tombstone above the position may have come and gone.
func (a *auditor) unproven() bool {
	known, keep := a.cp.KnownCurrent, a.heard.DeleteRetention
	if !a.heard.Compacted || a.heard.End <= a.cp.Position {
		return false
	}
	age := a.o.Now().Round(0).Sub(known.Round(0))
	return known.IsZero() || keep < 0 || age < 0 || age >= keep
}

// fill reads the record of a difference again, whose hash alone was kept.
func (a *auditor) fill(ctx context.Context, row *state.Row) error {
	if row == nil {
		return nil
	}
	rs, err := a.log.Fetch(ctx, row.Offset)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i := range rs.Records {
		if r := &rs.Records[i]; err == nil && r.Offset == row.Offset {
			row.Value, row.Timestamp = append([]byte{}, r.Value...), r.Timestamp
		}
	}
	return nil
}

// rows is an iterator with the row ahead looked at.
type rows struct {
	it    state.Iterator
	ahead bool
}

// next goes to the next row with a key below hi, nil for any.
func (r *rows) next(hi []byte) bool {
	if !r.ahead && !r.it.Next() {
		return false
	}
	r.ahead = hi != nil && bytes.Compare(r.it.Key(), hi) >= 0
	return !r.ahead
}
