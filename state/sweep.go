package state

import "github.com/tarnstream/tarn/internal/digest"

// sweepBatch bounds the deletes written at a time.
const sweepBatch = 256 << 10

// Sweep removes the rows below a log start. The checkpoint names the new log start only in the last batch, so that a
// crash in between leads to another sweep.
func (d *disk) Sweep(below int64) (int, error) {
	defer d.exclusive()()
	if err := d.writable(); err != nil {
		return 0, err
	}
	if d.next != nil {
		return d.sweepNext(below)
	}
	g := d.current
	if g == nil {
		return 0, nil
	}
	it := g.iterate(nil, nil, d.noteDamage)
	defer it.Close()
	var b Batch
	swept, gone := 0, digest.Empty()
	for it.Next() {
		row := it.Row()
		if row.Offset >= below {
			continue
		}
		b.Delete(it.Key())
		gone = gone.Plus(row.digest(it.Key()))
		b.SetChange(digest.Empty().Minus(gone))
		swept++
		if b.Bytes() >= sweepBatch {
			if err := d.write(&b); err != nil {
				return swept, err
			}
			b.Reset()
			gone = digest.Empty()
		}
	}
	if err := it.Err(); err != nil {
		return swept, err
	}
	return swept, d.finishSweep(&b, g, below)
}

func (d *disk) finishSweep(b *Batch, g *generation, below int64) error {
	cp, ok := g.known()
	b.raiseLogStart(cp, ok, below)
	if !b.has && b.Len() == 0 {
		return nil
	}
	return d.write(b)
}

// sweepNext sweeps the generation of a rebuild.
func (d *disk) sweepNext(below int64) (int, error) {
	swept, err := d.next.sweep(below)
	if err == nil {
		var b Batch
		b.raiseLogStart(d.next.checkpoint, d.next.has, below)
		err = d.build(&b)
	}
	return swept, d.failedBy(d.noteDamage(err))
}

// raiseLogStart gives the batch a store's checkpoint with a later log start.
func (b *Batch) raiseLogStart(cp Checkpoint, has bool, start int64) {
	if has && start > cp.LogStart {
		cp.LogStart = start
		b.SetCheckpoint(cp)
	}
}
