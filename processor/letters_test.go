package processor_test

import (
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// letterOf reads a record as a dead letter.
func letterOf(t *testing.T, r devbroker.Record) policy.Letter {
	t.Helper()
	var headers []policy.Header
	for _, h := range r.Headers {
		headers = append(headers, policy.Header{Key: []byte(h.Key), Value: h.Value})
	}
	l, err := policy.DeadLetterOf(headers)
	require.NoError(t, err)
	return l
}

// toDead sends what fails to the topic dead.
var toDead = policy.OnError(policy.DeadLetter("dead"))

// A dead letter is the record as it was, and tells where it came from and why.
func TestR61_DeadLetterIsTheRecordAndWhy(t *testing.T) {
	for _, how := range ways {
		t.Run(how, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("jobs", 1)
				var seen failures
				g := worker(k.T, doJob, policy.OnError(policy.Retry(policy.Backoff{Attempts: 2}, policy.DeadLetter("dead"))))
				k.Start(g, seen.option())
				sent := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
				bad := job("a", how)
				bad.Timestamp, bad.Headers = sent, []devbroker.Header{{Key: "own", Value: []byte("1")}, {Key: "null"}, {Key: "own", Value: []byte("2")}}
				require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), bad, job("a", "after")))
				k.Settle(g)

				require.Equal(k.T, []string{"before", "after"}, values(k.Records("results")))
				require.Equal(k.T, map[string]string{"a": "after"}, k.Fold("notes"))
				require.Equal(k.T, []string{"1 retry 1", "1 dead letter 2"}, seen.actions())
				dead := k.Records("dead")
				require.Len(k.T, dead, 1)
				require.Equal(k.T, "a", string(dead[0].Key))
				require.Equal(k.T, how, string(dead[0].Value))
				require.True(k.T, sent.Equal(dead[0].Timestamp))
				require.Equal(k.T, bad.Headers, dead[0].Headers[:3])
				l := letterOf(k.T, dead[0])
				require.NotEmpty(k.T, l.Error)
				require.Equal(k.T, how == "panic", l.Stack != "")
				require.Equal(k.T, how == "panic", strings.Contains(l.Stack, "policy_test.go"))
				l.Error, l.Stack, l.Headers = "", "", nil
				require.Equal(k.T, policy.Letter{Topic: "jobs", Partition: 0, Offset: 1, Timestamp: sent, Group: "worker", Attempts: 2, Kind: kindOf(how)}, l)
			})
		})
	}
}

// Null and empty are kept apart, in key and value; a record without a time, and one whose time cannot be written, become
// dead letters of the present and tell what it was.
func TestDeadLetter_OfAnyRecord(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		no := errors.New("no")
		g := define(k.T, "worker", topology.Input(clicks, func(*topology.Context, string) error { return no }, toDead,
			topology.OnDelete(func(*topology.Context) error { return no })))
		k.Start(g)
		micros := time.UnixMilli(1_700_000_000_000_000)
		in := []devbroker.Record{{}, {Key: []byte{}, Value: []byte{}}, {Key: []byte("k")}, {Value: []byte("v")},
			{Key: []byte("untimed"), Timestamp: time.UnixMilli(-1)}, {Key: []byte("micros"), Timestamp: micros}}
		for _, r := range in {
			require.NoError(k.T, k.Broker.Produce("clicks", 0, r))
		}
		k.Settle(g)
		dead := k.Records("dead")
		require.Len(k.T, dead, len(in))
		for i, r := range dead {
			require.Equal(k.T, in[i].Key, r.Key, i)
			require.Equal(k.T, in[i].Value, r.Value, i)
			require.Equal(k.T, "no", letterOf(k.T, r).Error)
		}
		require.Zero(k.T, letterOf(k.T, dead[4]).Timestamp)
		require.Equal(k.T, micros.UnixMilli(), letterOf(k.T, dead[5]).Timestamp.UnixMilli())
		for _, r := range dead[4:] {
			require.WithinDuration(k.T, time.Now(), r.Timestamp, time.Minute)
		}
	})
}

// The offset behind the record is committed once its dead letter is in Kafka.
func TestR46_DeadLetterBeforeTheOffset(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		k.Topic("dead", 1)
		i := k.Start(worker(k.T, doJob, toDead))
		held := k.Broker.Hold(devbroker.Produce, "dead")
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "callback"), job("a", "after")))
		<-held.Arrived()
		time.Sleep(5 * time.Second)
		require.Zero(k.T, committed(k, 0))
		i.Crash()
		held.Release()
		g := worker(k.T, doJob, toDead)
		k.Start(g)
		k.Settle(g)
		dead := k.Records("dead")
		require.NotEmpty(k.T, dead, "at least once")
		for _, r := range dead {
			require.EqualValues(k.T, 0, letterOf(k.T, r).Offset)
		}
		require.Equal(k.T, map[string]string{"a": "after"}, k.Fold("notes"))
	})
}

// The topic is made for letters that wait, with room for the largest record and its headers; each goes to its partition's
// number.
func TestDeadLetter_CreatesItsTopic(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 3, "max.message.bytes", "3000000")
		g := worker(k.T, func(*topology.Context, string) error { return errJob }, toDead)
		k.Start(g)
		largest := job("a", strings.Repeat("x", 3_000_000-200))
		for p := range int32(3) {
			require.NoError(k.T, k.Broker.Produce("jobs", p, largest))
		}
		k.Settle(g)
		configs, n, err := k.Broker.Config("dead")
		require.NoError(k.T, err)
		require.Equal(k.T, 3, n)
		require.Equal(k.T, map[string]string{"cleanup.policy": "delete", "retention.ms": "-1",
			"max.message.bytes": strconv.Itoa(3_000_000 + policy.LetterBytes)}, configs)
		for p := range int32(3) {
			records, err := k.Broker.Records("dead", p)
			require.NoError(k.T, err)
			require.Len(k.T, records, 1)
			require.Equal(k.T, p, letterOf(k.T, records[0]).Partition)
			require.Len(k.T, records[0].Value, len(largest.Value))
		}
	})
}

func TestDeadLetter_OptionsOfItsTopic(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 3)
		g := worker(k.T, doJob, policy.OnError(policy.DeadLetter("dead", topology.Partitions(2), topology.Config("retention.ms", "5000"), topology.Config("max.message.bytes", "7000"))))
		k.Start(g)
		for p := range int32(3) {
			require.NoError(k.T, k.Broker.Produce("jobs", p, job("a", "callback")))
		}
		k.Settle(g)
		configs, n, err := k.Broker.Config("dead")
		require.NoError(k.T, err)
		require.Equal(k.T, 2, n)
		require.Equal(k.T, map[string]string{"cleanup.policy": "delete", "retention.ms": "5000", "max.message.bytes": "7000"}, configs)
		for p, want := range [][]int32{{0, 2}, {1}} {
			records, err := k.Broker.Records("dead", int32(p))
			require.NoError(k.T, err)
			var got []int32
			for _, r := range records {
				got = append(got, letterOf(k.T, r).Partition)
			}
			require.ElementsMatch(k.T, want, got)
		}
	})
}

func TestDeadLetter_TopicsThatDoNotFit(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		k.Topic("dead", 1, "cleanup.policy", "compact")
		k.Topic("other", 2)
		more := topology.NewStream("more", codec.String)
		k.Topic("more", 1)
		g := define(k.T, "worker", topology.Input(jobs, doJob, toDead), topology.Persist(notes), topology.Output(results),
			topology.Input(more, doJob, policy.OnError(policy.DeadLetter("other", topology.Partitions(3)))))
		err := k.Launch("a", g).Wait()
		var topics *processor.TopicsError
		require.ErrorAs(k.T, err, &topics)
		require.ErrorContains(k.T, err, "topic of dead letters dead has cleanup.policy=compact")
		require.ErrorContains(k.T, err, "topic other has 2 partitions, its handle says 3")
	})
}

func TestDeadLetter_FaultsOfTheGroupsPolicy(t *testing.T) {
	more := topology.NewStream("more", codec.String)
	g := define(t, "worker", topology.Input(jobs, doJob, policy.OnError(policy.DeadLetter("dead", topology.Partitions(4)))),
		topology.Persist(notes), topology.Output(results), topology.Input(more, doJob))
	_, err := processor.New(g, processor.Brokers("x"), processor.StateDir("x"), processor.Inputs(toDead))
	require.ErrorContains(t, err, "the topic of dead letters dead is described in two ways")
	_, err = processor.New(g, processor.Brokers("x"), processor.Inputs(policy.OnError(policy.DeadLetter("notes"))))
	require.ErrorContains(t, err, "no state directory given")
	require.ErrorContains(t, err, "Inputs: OnError: dead letters cannot go to notes, which is a table of the group")
}

// A letter that is too large for its topic loses what tarn has added before anything else; the record is never cut.
func TestDeadLetter_TooLargeForItsTopic(t *testing.T) {
	const limit = 12_000 // room for a stack of 8 KiB, wherever the sources are
	for name, c := range map[string]struct {
		value int
		fits  bool
		error bool // the error's text is there in full
		stack bool
	}{
		"with all":          {1000, true, true, true},
		"without the stack": {limit - 2000, true, true, false},
		"without the error": {limit - 700, true, false, false},
		"not at all":        {limit - 100, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("jobs", 1)
				k.Topic("dead", 1, "max.message.bytes", strconv.Itoa(limit))
				text := strings.Repeat("why ", 200)
				var seen failures
				g := worker(k.T, func(ctx *topology.Context, how string) error {
					if len(how) > 10 {
						panic(text)
					}
					return doJob(ctx, how)
				}, toDead)
				i := k.Start(g, seen.option())
				require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", strings.Repeat("x", c.value)), job("a", "after")))
				if !c.fits {
					err := i.Wait()
					var failed *processor.RecordError
					require.ErrorAs(k.T, err, &failed)
					require.EqualValues(k.T, 1, failed.Offset)
					var full *policy.DeadLetterError
					require.ErrorAs(k.T, err, &full)
					require.Equal(k.T, "dead", full.Topic)
					require.Equal(k.T, limit, full.Limit)
					require.Greater(k.T, full.Size, limit)
					require.ErrorAs(k.T, err, new(*processor.PanicError), "the cause is still there")
					require.Equal(k.T, []string{"1 fail 1"}, seen.actions())
					require.EqualValues(k.T, 1, committed(k, 0))
					require.Empty(k.T, k.Records("dead"))
					return
				}
				k.Settle(g)
				require.Equal(k.T, map[string]string{"a": "after"}, k.Fold("notes"))
				dead := k.Records("dead")
				require.Len(k.T, dead, 1)
				require.Len(k.T, dead[0].Value, c.value)
				l := letterOf(k.T, dead[0])
				require.Equal(k.T, policy.KindPanic, l.Kind)
				require.Equal(k.T, c.error, strings.HasSuffix(l.Error, text))
				require.Equal(k.T, c.stack, l.Stack != "")
				require.True(k.T, strings.HasPrefix(l.Error, "panic: why why"))
			})
		})
	}
}

// A topic that may not be written ends Run by name, and nothing passes the record.
func TestDeadLetter_TopicRefuses(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		k.Topic("dead", 1)
		g := worker(k.T, doJob, toDead)
		i := k.Start(g)
		const topicAuthorizationFailed = 29
		fault := k.Broker.Fail(devbroker.Fault{Request: devbroker.Produce, Topic: "dead", Err: topicAuthorizationFailed, Count: -1})
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "callback"), job("a", "after")))
		err := i.Wait()
		require.ErrorContains(k.T, err, "produce to dead/0")
		require.Zero(k.T, committed(k, 0))
		fault.Remove()
		k.Start(g)
		k.Settle(g)
		require.Len(k.T, k.Records("dead"), 1)
	})
}

// A small group that handles dead letters again: each record goes where it came from, as it was.
func TestDeadLetter_Replay(t *testing.T) {
	var (
		dead  = topology.NewStream("dead", codec.Bytes)
		again = topology.NewStream("jobs", codec.Bytes)
	)
	replay := define(t, "replay", topology.Output(again), topology.Input(dead, func(ctx *topology.Context, value []byte) error {
		l, err := policy.DeadLetterOf(ctx.Headers())
		if err != nil || l.Topic != again.Name() {
			return err
		}
		return again.Emit(ctx, ctx.Key(), value, l.Headers...)
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 2)
		k.Topic("dead", 2)
		var mended atomic.Bool
		headers := map[string]string{}
		g := worker(k.T, func(ctx *topology.Context, how string) error {
			if !mended.Load() && how != "fine" {
				return errJob
			}
			for _, h := range ctx.Headers() {
				headers[ctx.Key()] += string(h.Key) + "=" + string(h.Value)
			}
			return doJob(ctx, how)
		}, toDead)
		k.Start(g)
		for _, key := range []string{"a", "b", "c"} {
			bad := job(key, "bad "+key)
			bad.Headers = []devbroker.Header{{Key: "own", Value: []byte(key)}}
			require.NoError(k.T, k.Broker.Produce("jobs", partitionOf(key, 2), bad))
		}
		k.Settle(g)
		require.Len(k.T, k.Records("dead"), 3)
		require.Empty(k.T, k.Fold("notes"))
		mended.Store(true)
		k.StartAs("replay", replay)
		k.Settle(replay)
		k.Settle(g)
		require.Equal(k.T, map[string]string{"a": "bad a", "b": "bad b", "c": "bad c"}, k.Fold("notes"))
		require.Equal(k.T, map[string]string{"a": "own=a", "b": "own=b", "c": "own=c"}, headers)
		require.Len(k.T, k.Records("dead"), 3, "none failed again")
	})
}

// Dead letters count against the bound of a task's open layer: however many records fail, memory does not grow.
func TestDeadLetter_BoundedByMemory(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		g := worker(k.T, func(*topology.Context, string) error { return errJob }, toDead)
		i := k.Start(g, processor.MemoryBytes(smallMemory), processor.CommitInterval(time.Hour))
		var in []devbroker.Record
		for range 80 {
			in = append(in, job("a", strings.Repeat("x", 10_000)))
		}
		require.NoError(k.T, k.Broker.Produce("jobs", 0, in...))
		k.Settle(g)
		require.Len(k.T, k.Records("dead"), 80)
		require.GreaterOrEqual(k.T, i.Processor.Stats().Commits, int64(2))
	})
}
