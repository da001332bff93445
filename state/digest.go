package state

import "github.com/tarnstream/tarn/internal/digest"

// rowSum is what a generation knows of the digest of its rows.
//
// The naive way keeps one number and corrects it with each write. It fails where a write does not know which rows it takes
// the place of: a wrong digest looks like a damaged disk for ever after. Reading them first would cost more than the write.
// The rule: the digest is known or it is not. A write that knows what it changes (Batch.SetChange) keeps it known; any other
// makes it unknown. Known again it becomes by a walk over all rows as they were at one moment, with what later writes have
// changed; that of a rebuild is known by its last merge, which is such a walk. It goes to disk in the batch of the rows that it
// speaks of, and it counts in memory only once they are written: a crash, a torn write or a failed one leaves both or neither.
type rowSum struct {
	sum digest.Sum
	// drift is the sum of all changes that were known since the open, lost the flush that changed rows without.
	drift digest.Sum
	lost  uint64
}

// wrote takes in the change of a flush.
func (s *rowSum) wrote(flush uint64, change digest.Sum) {
	s.sum = s.sum.Plus(change)
	if change.Known() {
		s.drift = s.drift.Plus(change)
	} else {
		s.lost = flush
	}
}

// tally sums up the rows of a walk over all of them, for the generation that they are of.
type tally struct {
	rows, stored, drift digest.Sum
	flush               uint64
	whole               bool
}

// tally begins one at this moment, of which the walk's rows must be.
func (g *generation) tally() *tally {
	g.meta.Lock()
	defer g.meta.Unlock()
	return &tally{rows: digest.Empty(), stored: g.sum.sum, drift: g.sum.drift, flush: g.flush}
}

// tallied is told of a walk that has come to its end. What is known stays: that it is contradicted is for the walker to tell.
func (g *generation) tallied(t *tally) {
	t.whole = true
	g.meta.Lock()
	defer g.meta.Unlock()
	if !g.sum.sum.Known() && g.sum.lost <= t.flush {
		g.sum.sum = t.rows.Plus(g.sum.drift).Minus(t.drift)
	}
}

// Digests gives the digest of the rows that were walked over, and what the store had noted of them; both are unknown before the
// end of a Snapshot's walk.
func (r *rows) Digests() (walked, stored digest.Sum) {
	if r.sum == nil || !r.sum.whole {
		return digest.Sum{}, digest.Sum{}
	}
	return r.sum.rows, r.sum.stored
}
