package processor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

func TestView_ReadsOneOrMany(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 5)
		writePages(k, "b", "2", "a", "1", "ab", "12", "ac", "13", "\xff", "255", "\xff\xff", "65535", "c", "3")
		v := followView(k)
		keys := func(rows func(func(topology.Row[string], error) bool)) (out []string) {
			for row, err := range rows {
				require.NoError(k.T, err)
				out = append(out, row.Key)
			}
			return out
		}
		require.Equal(k.T, []string{"a", "ab", "ac", "b", "c", "\xff", "\xff\xff"}, keys(v.Range()), "in key order over all partitions")
		require.Equal(k.T, []string{"a", "ab", "ac"}, keys(v.RangePrefix("a")))
		require.Equal(k.T, []string{"\xff", "\xff\xff"}, keys(v.RangePrefix("\xff")))
		require.Equal(k.T, []string{"\xff\xff"}, keys(v.RangePrefix("\xff\xff")))
		require.Empty(k.T, keys(v.RangePrefix("d")))
		require.Equal(k.T, []string{"ab", "ac", "b"}, keys(v.RangeBetween("ab", "c")))
		require.Equal(k.T, []string{"c", "\xff", "\xff\xff"}, keys(v.RangeBetween("c", "")))
		require.Equal(k.T, []string{"a"}, keys(v.RangeBetween("", "ab")))
		require.Equal(k.T, keys(v.Range()), keys(v.RangePrefix("")))
		for row, err := range v.Range() { // ends when the loop does
			require.NoError(k.T, err)
			require.Equal(k.T, topology.Row[string]{Key: "a", Value: "1"}, row)
			break
		}
		for key, there := range map[string]bool{"ab": true, "abc": false, "": false} {
			ok, err := v.Has(key)
			require.NoError(k.T, err)
			require.Equal(k.T, there, ok, key)
		}
		require.NoError(k.T, v.stop())
		_, err := v.Has("a")
		require.ErrorIs(k.T, err, state.ErrClosed)
		for _, err := range v.Range() {
			require.ErrorIs(k.T, err, state.ErrClosed)
		}
		require.ErrorIs(k.T, v.Sync(k.T.Context()), state.ErrClosed)
	})
}

func TestR28_ViewOfNullAndEmptyKeysAndValues(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 1)
		put := func(key, value []byte) {
			require.NoError(k.T, k.Broker.Produce("pages", 0, devbroker.Record{Key: key, Value: value}))
		}
		put([]byte{}, []byte("of the empty key"))
		put([]byte("empty"), []byte{})
		put(nil, []byte("of no key"))
		put([]byte("gone"), []byte("x"))
		put([]byte("gone"), nil)
		v := followView(k)
		put([]byte{}, []byte{})
		put(nil, nil)
		put([]byte("empty"), nil)
		put([]byte("empty"), []byte{})
		require.NoError(k.T, v.Sync(k.T.Context()))
		require.Equal(k.T, map[string]string{"": "", "empty": ""}, v.rows())
		value, ok, err := v.Get("")
		require.NoError(k.T, err)
		require.True(k.T, ok)
		require.Empty(k.T, value)
		time.Sleep(time.Second)
		require.Equal(k.T, v.rows(), v.picture())
		require.NoError(k.T, v.stop())
	})
}

// From the start to the end of Run a read says what it is worth.
func TestView_ReadsWhileItCatchesUp(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 1)
		writePages(k, "a", "1")
		var seen diary
		v := launchView(k, seen.option())
		_, _, err := v.Get("a", policy.AllowStale(nil))
		require.ErrorIs(k.T, err, processor.ErrNotReady, "there is nothing yet")
		<-v.Ready()
		require.NoError(k.T, v.stop())

		time.Sleep(time.Hour)
		writePages(k, "a", "2")
		held := k.Broker.Hold(devbroker.Fetch, "pages")
		v = launchView(k, seen.option())
		<-held.Arrived()
		_, _, err = v.Get("a")
		require.ErrorIs(k.T, err, processor.ErrNotReady)
		var stale *policy.StaleError
		require.ErrorAs(k.T, err, &stale)
		require.Equal(k.T, "pages", stale.Table)
		require.InDelta(k.T, time.Hour, stale.Age, float64(time.Minute))
		var told policy.Staleness
		value, ok, err := v.Get("a", policy.AllowStale(&told))
		require.NoError(k.T, err)
		require.True(k.T, ok)
		require.Equal(k.T, "1", value, "of the last run")
		require.Equal(k.T, stale.Staleness, told)
		require.Equal(k.T, v.Staleness(), told)
		require.Equal(k.T, map[string]string{"a": "1"}, v.rows(policy.AllowStale(&told)))
		for _, err := range v.Range() {
			require.ErrorAs(k.T, err, &stale)
		}
		require.Len(k.T, of(&seen, &seen.stale), 1, "told of once")
		held.Release()
		<-v.Ready()
		value, _, err = v.Get("a", policy.AllowStale(&told), policy.MaxAge(5*time.Second))
		require.NoError(k.T, err)
		require.Equal(k.T, "2", value)
		require.Empty(k.T, told.Cause)
		require.Less(k.T, told.Age, 5*time.Second)
		require.NoError(k.T, v.stop())
	})
}

// While a view is current its age stays low, whether its log is idle or busy.
func TestView_AgeOfWhatIsRead(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 3)
		v := followView(k)
		for i := range 300 {
			if i%100 > 50 {
				fillPages(k, 10, "x")
			}
			_, _, err := v.Get("user-1", policy.MaxAge(3*time.Second))
			require.NoError(k.T, err)
			time.Sleep(100 * time.Millisecond)
		}
		require.NoError(k.T, v.stop())
	})
}

// Hours without a broker: reads go on, with an age, and so does the view when the broker is back.
func TestView_BrokerAwayForHours(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 2)
		fillPages(k, 10, "before")
		v := followView(k)
		for range 3 {
			k.Broker.Stop()
			time.Sleep(3 * time.Hour)
			var told policy.Staleness
			_, ok, err := v.Get("user-3", policy.AllowStale(&told))
			require.NoError(k.T, err)
			require.True(k.T, ok)
			require.Empty(k.T, told.Cause, "nothing is known against it but its age")
			require.InDelta(k.T, 3*time.Hour, told.Age, float64(5*time.Second))
			_, _, err = v.Get("user-3")
			require.NoError(k.T, err)
			_, _, err = v.Get("user-3", policy.MaxAge(time.Hour))
			var stale *policy.StaleError
			require.ErrorAs(k.T, err, &stale)
			require.NotErrorIs(k.T, err, processor.ErrNotReady)
			require.NoError(k.T, k.Broker.Resume())
			fillPages(k, 4, "after")
			require.Len(k.T, v.requireFold(), 10)
			_, _, err = v.Get("user-3", policy.MaxAge(5*time.Second))
			require.NoError(k.T, err)
		}
		require.NoError(k.T, v.stop())
	})
}

// The broker comes long after the view was started.
func TestView_WaitsForABrokerAtTheStart(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 2)
		fillPages(k, 3, "x")
		k.Broker.Stop()
		impatient := launchView(k)
		require.Error(k.T, impatient.wait())
		v := launchView(k, processor.StartTimeout(0))
		time.Sleep(5 * time.Hour)
		_, _, err := v.Get("user-1")
		require.ErrorIs(k.T, err, processor.ErrNotReady)
		require.NoError(k.T, k.Broker.Resume())
		<-v.Ready()
		require.Len(k.T, v.requireFold(), 3)
		require.NoError(k.T, v.stop())

		k.Broker.Stop()
		v = launchView(k, processor.StartTimeout(0))
		time.Sleep(time.Hour)
		require.NoError(k.T, v.stop(), "a start that is given up is no error")
		require.NoError(k.T, k.Broker.Resume())
	})
}
