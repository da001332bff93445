package state

import (
	"bytes"

	"github.com/tarnstream/tarn/internal/digest"
)

// The kinds of change that RestoreOptions.Changed is told.
const (
	changeStart   = "start"
	changeRecord  = "record"
	changeSweep   = "sweep"
	changeRebuild = "rebuild"
)

// changes tells a follower what readers see change, after they can see it.
//
// The naive way tells the records that are applied. It fails where rows go or come back without a record: a rebuild that
// ends without a key which the old generation had, a sweep, rows that were on disk before the start. The rule: what was
// told, folded, is what the store shows. So nothing is told before the store is current for the first time, then every
// row it has; a record, once it is written to the generation that is read; the rows that a sweep took; and at a swap the
// difference of the two generations.
type changes struct {
	s    Store
	tell func(kind string, was *Row, is Record) error // nil: nobody listens

	begun  bool // the rows of the start have been told
	hidden bool // what is written now goes to a generation that is not read yet
	wait   []change
	rows   map[string]*Row // as wait leaves them
	sum    digest.Sum      // by what wait changes the digest of the rows
}

// change is a record that is applied and not written yet.
type change struct {
	was *Row
	is  Record
}

func (c *changes) telling() bool { return c.tell != nil && c.begun }

// digest is by what the records that are not written yet change the digest of the rows; unknown where nobody asked for their
// old rows.
func (c *changes) digest() digest.Sum {
	if !c.telling() || c.hidden {
		return digest.Sum{}
	}
	return c.sum
}

// add takes a record that goes into the next batch.
func (c *changes) add(rec *Record) error {
	if !c.telling() || c.hidden {
		return nil
	}
	was, known := c.rows[string(rec.Key)]
	if !known {
		row, ok, err := c.s.Get(rec.Key)
		if err != nil {
			return err
		}
		if ok {
			was = &row
		}
	}
	if was == nil && rec.Value == nil {
		return nil
	}
	var is *Row
	if was != nil {
		c.sum = c.sum.Minus(was.digest(rec.Key))
	}
	if rec.Value != nil {
		is = &Row{Value: rec.Value, Offset: rec.Offset, Timestamp: rec.Timestamp}
		c.sum = c.sum.Plus(is.digest(rec.Key))
	}
	if c.rows == nil {
		c.rows = map[string]*Row{}
	}
	c.rows[string(rec.Key)] = is
	c.wait = append(c.wait, change{was, *rec})
	return nil
}

// hide takes note that what is written from now on is not read before the swap.
func (c *changes) hide() {
	c.hidden = true
	c.forget()
}

// written tells what the batch that was written has changed.
func (c *changes) written() error {
	for i := range c.wait {
		if err := c.tell(changeRecord, c.wait[i].was, c.wait[i].is); err != nil {
			return err
		}
	}
	c.forget()
	return nil
}

func (c *changes) forget() {
	clear(c.wait)
	c.wait = c.wait[:0]
	clear(c.rows)
	c.sum = digest.Empty()
}

// start tells every row, once.
func (c *changes) start() error {
	if c.tell == nil || c.begun {
		return nil
	}
	c.begun, c.sum = true, digest.Empty()
	it, _, _ := c.s.Snapshot() // its walk makes the digest known
	defer it.Close()
	for it.Next() {
		if err := c.tell(changeStart, nil, recordOf(it)); err != nil {
			return err
		}
	}
	return it.Err()
}

// sweep carries out a sweep and tells the rows that it took.
func (c *changes) sweep(below int64) (int, error) {
	if !c.telling() || c.hidden {
		return c.s.Sweep(below)
	}
	it := c.s.Range(nil, nil)
	defer it.Close()
	n, err := c.s.Sweep(below)
	if err != nil || n == 0 {
		return n, err
	}
	for it.Next() {
		if row := it.Row(); row.Offset < below {
			if err := c.tell(changeSweep, &row, gone(it.Key())); err != nil {
				return n, err
			}
		}
	}
	return n, it.Err()
}

// swap carries out a swap, calls done, and tells in what the new generation differs.
func (c *changes) swap(done func()) error {
	c.hidden = false
	var old Iterator
	if c.telling() {
		old = c.s.Range(nil, nil)
		defer old.Close()
	}
	if err := c.s.Swap(); err != nil {
		return err
	}
	done()
	if !c.telling() {
		return nil
	}
	now := c.s.Range(nil, nil)
	defer now.Close()
	return c.differ(old, now)
}

// differ walks over both in step.
func (c *changes) differ(old, now Iterator) error {
	inOld, inNow := old.Next(), now.Next()
	for inOld || inNow {
		side := 0
		switch {
		case !inOld:
			side = 1
		case !inNow:
			side = -1
		default:
			side = bytes.Compare(old.Key(), now.Key())
		}
		if err := c.difference(side, old, now); err != nil {
			return err
		}
		if side <= 0 {
			inOld = old.Next()
		}
		if side >= 0 {
			inNow = now.Next()
		}
		if err := firstError(old, now); err != nil { // before what is left looks like all there is
			return err
		}
	}
	return firstError(old, now)
}

// difference tells the row in hand: of old alone (side < 0), of now alone, or of both.
func (c *changes) difference(side int, old, now Iterator) error {
	switch {
	case side < 0:
		was := old.Row()
		return c.tell(changeRebuild, &was, gone(old.Key()))
	case side > 0:
		return c.tell(changeRebuild, nil, recordOf(now))
	}
	was, is := old.Row(), now.Row()
	if was.Offset == is.Offset && was.Timestamp == is.Timestamp && bytes.Equal(was.Value, is.Value) {
		return nil
	}
	return c.tell(changeRebuild, &was, recordOf(now))
}

func firstError(its ...Iterator) error {
	for _, it := range its {
		if err := it.Err(); err != nil {
			return err
		}
	}
	return nil
}

// recordOf gives the iterator's row as the record it came from.
func recordOf(it Iterator) Record {
	row := it.Row()
	if row.Value == nil {
		row.Value = []byte{}
	}
	return Record{Key: it.Key(), Value: row.Value, Offset: row.Offset, Timestamp: row.Timestamp}
}

// gone is a row that went without a record of its own.
func gone(key []byte) Record {
	return Record{Key: key, Offset: UnknownOffset, Timestamp: UnknownOffset}
}
