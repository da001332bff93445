package processor

import (
	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// The digest of a table's rows is corrected by a flush for what it puts and for what that takes the place of, so the flush must know
// the rows on disk before it.
//
// The naive way reads them from the store. That costs a read of LevelDB for each row of a flush, more than to handle the record
// that changed it. The next one remembers the value that the task read before it wrote, which it always does. That fails where the row
// is kept in memory: between two writes the first may be sealed, committed, or on disk, and its offset, which the digest is of, is
// not known yet when the second is made; and what was read may have gone since, by a sweep. The rule:
//
//   - Each row in memory has a mark: what of it is on disk. It is made where the row is read from the store, and shared by
//     all changes of the row in whatever layer, so that a row which leaves the overlay while a layer has it gets the same again.
//   - The flush alone looks into marks and changes them, and the digest with them; only one flush of a cell is under way.
//   - The log start in the checkpoint is that of the last sweep: what a mark says to be below it has gone.

// readMarked gives key's newest value for the task, with the row's mark.
func (c *cell) readMarked(key string) ([]byte, *scope.Mark, bool, error) {
	if v, ok := c.layered(key, true); ok {
		return v.value, v.mark, !v.deleted, nil
	}
	row, ok, err := c.store.Get(bytesOf(key))
	if err != nil || !ok {
		return nil, &scope.Mark{Offset: state.UnknownOffset, Digest: digest.Empty()}, false, err
	}
	return row.Value, &scope.Mark{Offset: row.Offset, Digest: digest.Of(bytesOf(key), row.Offset, row.Value)}, true, nil
}

// replaced gives by what a change that is about to be written changes the digest of the rows, of which a sweep has left none below the
// log start, and marks its row as written.
func replaced(ch *scope.Change, logStart int64) digest.Sum {
	if ch.Mark == nil {
		return digest.Sum{}
	}
	was, is := ch.Mark.Digest, digest.Empty()
	if was.Known() && ch.Mark.Offset < logStart {
		was = digest.Empty()
	}
	if !ch.Delete {
		is = digest.Of(bytesOf(ch.Key), ch.Offset, ch.Value)
	}
	ch.Mark.Offset, ch.Mark.Digest = ch.Offset, is
	return is.Minus(was)
}

// unmark takes note that changes were not written, or nobody knows.
func unmark(changes []scope.Change) {
	for i := range changes {
		if m := changes[i].Mark; m != nil {
			m.Offset, m.Digest = 0, digest.Sum{}
		}
	}
}
