package processor_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
)

// A task has two tables, and the store of one is not what it was when the other's was written: put back from a copy, gone,
// or damaged. Each is judged by its own checkpoint, which is in its own store, and both equal their topics.
func TestR16_R17_R18_SiblingStoreIsAnother(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, store, older string)
		want   state.Decision
	}{
		"older": {func(t *testing.T, store, older string) {
			require.NoError(t, os.RemoveAll(store))
			require.NoError(t, os.CopyFS(store, os.DirFS(older)))
		}, state.Resume},
		"gone": {func(t *testing.T, store, _ string) { require.NoError(t, os.RemoveAll(store)) }, state.Rebuild},
		"damaged": {func(t *testing.T, store, _ string) {
			require.NoError(t, os.WriteFile(filepath.Join(store, "CURRENT"), []byte("not this one"), 0o644))
		}, state.Rebuild},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				g, keys := clickerWith(k.T), users(10)
				store, older := filepath.Join(k.Dir, "a", "groups", "clicker", "clicks-seen", "0"), filepath.Join(k.T.TempDir(), "older")
				run := func(options ...processor.Option) {
					a := k.StartAs("a", g, options...)
					requireFold(k, a, keys...)
					require.Equal(k.T, streamtest.FoldOf(k, seenKeys), streamtest.Read(a, seenKeys, keys...))
					click(k, g, keys...)
					require.NoError(k.T, a.Stop())
				}
				run()
				require.NoError(k.T, os.CopyFS(older, os.DirFS(store)))
				run()
				c.change(k.T, store, older)
				var mu sync.Mutex
				decided := map[string]state.Decision{}
				run(processor.Observe(observe.Observer{RestorePlanned: func(r observe.Restore) {
					mu.Lock()
					defer mu.Unlock()
					decided[r.Topic] = r.Plan.Decision
				}}))
				require.Equal(k.T, map[string]state.Decision{"clicks-count": state.Ready, "clicks-seen": c.want}, decided)
				run()
				require.Equal(k.T, int64(4), streamtest.FoldOf(k, counts)[keys[0]])
				require.Equal(k.T, streamtest.FoldOf(k, counts), streamtest.FoldOf(k, seenKeys))
			})
		})
	}
}
