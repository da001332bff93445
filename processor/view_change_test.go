package processor_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

func TestView_OnChangeTellsEachRecord(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 2)
		writePages(k, "a", "0")
		v := followView(k)
		writePages(k, "a", "1", "a", "2", "b", "1")
		erasePage(k, "a")
		erasePage(k, "nobody")
		v.requireFold()
		require.NoError(k.T, v.stop())
		place := observe.Place{Group: "pages", Topic: "pages", Partition: partitionOf("a", 2)}
		var got []observe.Change[string]
		for _, c := range v.all {
			if c.Key == "a" {
				require.WithinDuration(k.T, time.Now(), c.Timestamp, time.Minute)
				c.Timestamp = time.Time{}
				got = append(got, c)
			}
		}
		require.Equal(k.T, []observe.Change[string]{
			{Place: place, Kind: observe.Start, Key: "a", New: "0", Exists: true, Offset: 0},
			{Place: place, Kind: observe.Record, Key: "a", Old: "0", Existed: true, New: "1", Exists: true, Offset: 1},
			{Place: place, Kind: observe.Record, Key: "a", Old: "1", Existed: true, New: "2", Exists: true, Offset: 2},
			{Place: place, Kind: observe.Record, Key: "a", Old: "2", Existed: true, Offset: got[3].Offset},
		}, got)
		require.Len(k.T, v.all, 5, "a tombstone of nothing changes nothing")
	})
}

// What was on disk before the start is told too, once the view is ready.
func TestView_OnChangeAfterARestart(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 2)
		fillPages(k, 6, "x")
		v := followView(k)
		require.NoError(k.T, v.stop())
		fillPages(k, 3, "y")
		erasePage(k, "user-5")
		v = followView(k)
		require.Equal(k.T, streamtest.FoldOf(k, pages), v.picture(), "told before Ready")
		require.Equal(k.T, map[string]int{observe.Start: 5}, v.kinds())
		require.ErrorContains(k.T, v.OnChange(v.change), "before Run")
		require.NoError(k.T, v.stop())
	})
}

func TestView_OnChangeFails(t *testing.T) {
	gone := errors.New("the index is gone")
	for name, fn := range map[string]func(observe.Change[string]) error{
		"error": func(c observe.Change[string]) error {
			if c.Key == "bad" {
				return gone
			}
			return nil
		},
		"panic": func(c observe.Change[string]) error {
			if c.Key == "bad" {
				panic("the index is gone")
			}
			return nil
		},
	} {
		for _, when := range []string{"start", "record"} {
			t.Run(name+" at "+when, func(t *testing.T) {
				streamtest.Run(t, func(k *streamtest.Kit) {
					pagesTopic(k, 1)
					writePages(k, "good", "1")
					if when == "start" {
						writePages(k, "bad", "1")
					}
					v := prepareView(k)
					require.NoError(k.T, v.OnChange(fn))
					v.start()
					if when == "record" {
						<-v.Ready()
						writePages(k, "bad", "1")
					}
					failed := ended[*processor.RecordError](v)
					require.Equal(k.T, "pages/0@1 bad", fmt.Sprintf("%s/%d@%d %s", failed.Topic, failed.Partition, failed.Offset, failed.Key))
					var panicked *processor.PanicError
					require.Equal(k.T, name == "panic", errors.As(failed, &panicked))
					require.Equal(k.T, name == "error", errors.Is(failed, gone))
				})
			})
		}
	}
}

func TestView_OnChangeOfAValueThatIsNone(t *testing.T) {
	numbers := topology.NewTable("pages", codec.Int64)
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 1)
		writePages(k, "bad", "no number")
		v, err := processor.NewView(numbers, k.Options("view")...)
		require.NoError(k.T, err)
		require.NoError(k.T, v.OnChange(func(observe.Change[int64]) error { return nil }))
		var failed *processor.RecordError
		require.ErrorAs(k.T, v.Run(k.T.Context()), &failed)
		require.Equal(k.T, "bad", string(failed.Key))
	})
}
