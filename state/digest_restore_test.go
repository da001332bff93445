package state_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/state"
)

// digests gives the stored one, which is in the checkpoint, and that of the rows, after the store was opened again.
func (b *bench) digests() (stored, walked digest.Sum) {
	b.t.Helper()
	b.reopen()
	cp, ok := b.s.Checkpoint()
	require.True(b.t, ok)
	it := b.s.Range(nil, nil)
	walked = digest.Empty()
	for it.Next() {
		walked = walked.Plus(digest.Of(it.Key(), it.Row().Offset, it.Row().Value))
	}
	require.NoError(b.t, it.Close())
	return cp.Digest, walked
}

// A rebuild and a sweep see every row that comes and goes; a tail takes the place of rows that it does not see.
func TestRestore_Digest(t *testing.T) {
	inBubble("Digest", t, func(t *testing.T, b *bench) {
		known := func(when string) {
			stored, walked := b.digests()
			require.Equal(t, walked, stored, when)
		}
		b.o.BatchBytes = 1 << 10 // several rounds
		b.put(100, "a")
		b.put(50, "a")
		b.put(20, "b")
		for i := range 30 {
			b.log.Tombstone(fmt.Sprintf("a%d", i))
		}
		require.Equal(t, state.Rebuild, b.restore().Plan.Decision)
		known("a rebuild")
		b.log.DeleteRecords(110)
		require.Equal(t, state.Ready, b.restore().Plan.Decision)
		require.Positive(t, b.swept)
		known("a sweep")
		b.put(3, "b")
		require.Equal(t, state.Resume, b.restore().Plan.Decision)
		stored, _ := b.digests()
		require.False(t, stored.Known(), "a tail")

		it, _, _ := b.s.Snapshot()
		for it.Next() {
		}
		require.NoError(t, it.Close())
		require.NoError(t, b.s.Write(new(state.Batch)))
		known("a walk")
	})
}
