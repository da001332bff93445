package processor_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// pages is the table that the tests of views follow; they write its topic themselves.
var pages = topology.NewTable("pages", codec.String)

// viewing is a view that runs, and what its changes amount to.
type viewing struct {
	*processor.View[string]
	k      *streamtest.Kit
	cancel context.CancelFunc
	done   chan error

	mu   sync.Mutex
	told map[string]observe.Change[string] // newest by key, of those that exist
	all  []observe.Change[string]
}

// prepareView makes a view of pages with a follower of its changes.
func prepareView(k *streamtest.Kit, options ...processor.Option) *viewing {
	k.T.Helper()
	v, err := processor.NewView(pages, append(k.Options("view"), options...)...)
	require.NoError(k.T, err)
	w := &viewing{View: v, k: k, done: make(chan error, 1), told: map[string]observe.Change[string]{}}
	require.NoError(k.T, v.OnChange(w.change))
	return w
}

// launchView runs a view of pages and does not wait. Who launches it stops it, or waits for its end.
func launchView(k *streamtest.Kit, options ...processor.Option) *viewing {
	k.T.Helper()
	return prepareView(k, options...).start()
}

func (w *viewing) start() *viewing {
	ctx, cancel := context.WithCancel(w.k.T.Context())
	w.cancel = cancel
	go func() { w.done <- w.Run(ctx) }()
	return w
}

// followView runs a view of pages and waits until it is ready.
func followView(k *streamtest.Kit, options ...processor.Option) *viewing {
	k.T.Helper()
	w := launchView(k, options...)
	select {
	case <-w.Ready():
	case err := <-w.done:
		k.T.Fatalf("the view ended: %v", err)
	}
	return w
}

func (w *viewing) stop() error {
	w.cancel()
	return <-w.done
}

// wait waits until Run returns by itself, for an hour of virtual time at most.
func (w *viewing) wait() error {
	w.k.T.Helper()
	select {
	case err := <-w.done:
		return err
	case <-time.After(time.Hour):
		w.k.T.Fatal("the view still runs after an hour")
	}
	return nil
}

// change keeps the picture, and refuses a change that does not follow from the one before.
func (w *viewing) change(c observe.Change[string]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, had := w.told[c.Key]
	if had != c.Existed || had && (before.New != c.Old || before.Partition != c.Partition) {
		return fmt.Errorf("change %+v after %+v", c, before)
	}
	delete(w.told, c.Key)
	if c.Exists {
		w.told[c.Key] = c
	}
	w.all = append(w.all, c)
	return nil
}

// kinds counts the changes so far by kind.
func (w *viewing) kinds() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := map[string]int{}
	for _, c := range w.all {
		n[c.Kind]++
	}
	return n
}

// picture is what the changes told so far amount to.
func (w *viewing) picture() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]string{}
	for key, c := range w.told {
		all[key] = c.New
	}
	return all
}

// rows are all rows.
func (w *viewing) rows(reads ...policy.Read) map[string]string {
	w.k.T.Helper()
	all := map[string]string{}
	for row, err := range w.Range(reads...) {
		require.NoError(w.k.T, err)
		all[row.Key] = row.Value
	}
	return all
}

// requireFold requires that reads and told changes are both what the topic says, and gives it.
func (w *viewing) requireFold() map[string]string {
	w.k.T.Helper()
	require.NoError(w.k.T, w.Sync(w.k.T.Context()))
	time.Sleep(time.Second) // what is read is told a moment later
	want := streamtest.FoldOf(w.k, pages)
	require.Equal(w.k.T, want, w.rows())
	require.Equal(w.k.T, want, w.picture())
	return want
}

// pagesTopic makes the topic of pages.
func pagesTopic(k *streamtest.Kit, partitions int) {
	k.T.Helper()
	k.Topic("pages", partitions, "cleanup.policy", "compact")
}

// writePages puts rows, keys and values in turn.
func writePages(k *streamtest.Kit, keyValues ...string) {
	k.T.Helper()
	for i := 0; i+1 < len(keyValues); i += 2 {
		k.Send("pages", keyValues[i], keyValues[i+1])
	}
}

// erasePage writes a tombstone.
func erasePage(k *streamtest.Kit, key string) {
	k.T.Helper()
	_, n, err := k.Broker.Config("pages")
	require.NoError(k.T, err)
	p := partitionOf(key, int32(n))
	require.NoError(k.T, k.Broker.Produce("pages", p, devbroker.Record{Key: []byte(key)}))
}

// fillPages puts n rows with the same value.
func fillPages(k *streamtest.Kit, n int, value string) {
	k.T.Helper()
	for _, key := range users(n) {
		writePages(k, key, value)
	}
}

// ended waits for a view's end and requires an error of that kind.
func ended[E error](w *viewing) (e E) {
	w.k.T.Helper()
	err := w.wait()
	require.ErrorAs(w.k.T, err, &e)
	_, _, err = w.Get("user-0", policy.AllowStale(nil))
	require.Error(w.k.T, err)
	return e
}
