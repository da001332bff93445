package processor_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
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

// The group that fails on demand: a job's value says how. Before it fails it has written a row and a record.
var (
	jobs    = topology.NewStream[string]("jobs", jobCodec{})
	results = topology.NewStream("results", codec.Bytes)
	errJob  = errors.New("the job fails")
)

type jobCodec struct{}

func (jobCodec) Encode(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }

func (jobCodec) Decode(data []byte) (string, error) {
	if string(data) == "decode" {
		return "", errJob
	}
	return string(data), nil
}

// ways are how a job can fail, by its value: the kind of error that is told, and where it happens.
var ways = []string{"decode", "callback", "panic", "too large at Set", "too large at Emit", "timestamp at Set", "timestamp at Emit"}

// kindOf is what is told of a way to fail.
func kindOf(way string) string {
	kind, _, _ := strings.Cut(way, " at ")
	return kind
}

func doJob(ctx *topology.Context, how string) error {
	key := ctx.Key()
	if err := errors.Join(notes.Set(ctx, []byte(how)), results.Emit(ctx, key, []byte(how))); err != nil {
		return err
	}
	switch huge, never := make([]byte, 2<<20), time.UnixMilli(-5); how {
	case "callback":
		return errJob
	case "panic":
		panic(errJob)
	case "too large at Set":
		return notes.Set(ctx, huge)
	case "too large at Emit":
		return results.Emit(ctx, key, huge)
	case "timestamp at Set":
		return notes.Set(ctx.WithTimestamp(never), nil)
	case "timestamp at Emit":
		return results.Emit(ctx.WithTimestamp(never), key, nil)
	}
	return nil
}

// worker is the group over doJob or another callback.
func worker(t *testing.T, fn func(*topology.Context, string) error, options ...policy.InputOption) *topology.Group {
	t.Helper()
	return define(t, "worker", topology.Input(jobs, fn, options...), topology.Persist(notes), topology.Output(results))
}

// job makes a record with the key and value given.
func job(key, value string) devbroker.Record {
	return devbroker.Record{Key: []byte(key), Value: []byte(value)}
}

// values are the records' values in their order.
func values(records []devbroker.Record) []string {
	all := []string{}
	for _, r := range records {
		all = append(all, string(r.Value))
	}
	return all
}

// failures collects what is told of failed records.
type failures struct {
	mu   sync.Mutex
	told []observe.RecordError
}

func (f *failures) option() processor.Option {
	return processor.Observe(observe.Observer{RecordError: func(e observe.RecordError) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.told = append(f.told, e)
	}})
}

// actions gives what was told as "offset action attempt".
func (f *failures) actions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []string{}
	for _, e := range f.told {
		all = append(all, fmt.Sprintf("%d %s %d", e.Offset, e.Action, e.Attempt))
	}
	return all
}

// passing are the policies that go on behind a failed record, with what they tell of the one at offset 1.
var passing = map[string]struct {
	policy policy.ErrorPolicy
	told   []string
}{
	"skip":            {policy.Skip(), []string{"1 skip 1"}},
	"retry then skip": {policy.Retry(policy.Backoff{Attempts: 3}, policy.Skip()), []string{"1 retry 1", "1 retry 2", "1 skip 3"}},
	"no retry for it": {policy.Retry(policy.Backoff{If: func(error) bool { return false }}, policy.Skip()), []string{"1 skip 1"}},
}

// Of a record that is passed nothing stays, however it failed, and the others are handled as if it had not been.
func TestR61_PassedRecordLeavesNoTrace(t *testing.T) {
	for name, p := range passing {
		for _, how := range ways {
			t.Run(name+"/"+how, func(t *testing.T) {
				streamtest.Run(t, func(k *streamtest.Kit) {
					k.Topic("jobs", 1)
					var seen failures
					g := worker(k.T, doJob, policy.OnError(p.policy))
					i := k.Start(g, seen.option())
					require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", how), job("a", "after"), job("b", "other")))
					k.Settle(g)
					require.Equal(k.T, map[string]string{"a": "after", "b": "other"}, k.Fold("notes"))
					require.Equal(k.T, map[string][]byte{"a": []byte("after"), "b": []byte("other")}, streamtest.Read(i, notes, "a", "b"))
					require.Equal(k.T, []string{"before", "after", "other"}, values(k.Records("results")))
					require.Equal(k.T, p.told, seen.actions())
					require.Equal(k.T, kindOf(how), seen.told[0].Kind)
					require.Equal(k.T, "a", string(seen.told[0].Key))
				})
			})
		}
	}
}

// failing are the policies by which a failed record ends Run, with the attempts made.
var failing = map[string]struct {
	policy   []policy.InputOption
	attempts int
}{
	"default":         {nil, 1},
	"fail":            {[]policy.InputOption{policy.OnError(policy.Fail())}, 1},
	"zero value":      {[]policy.InputOption{policy.OnError(policy.ErrorPolicy{})}, 1},
	"retry then fail": {[]policy.InputOption{policy.OnError(policy.Retry(policy.Backoff{Attempts: 4}, policy.Fail()))}, 4},
}

func TestR61_FailedRecordEndsRunAndLeavesNoTrace(t *testing.T) {
	for name, p := range failing {
		for _, how := range ways {
			t.Run(name+"/"+how, func(t *testing.T) {
				streamtest.Run(t, func(k *streamtest.Kit) {
					k.Topic("jobs", 1)
					i := k.Start(worker(k.T, doJob, p.policy...))
					require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", how), job("a", "after")))
					var failed *processor.RecordError
					require.ErrorAs(k.T, i.Wait(), &failed)
					require.EqualValues(k.T, 1, failed.Offset)
					require.Equal(k.T, p.attempts, failed.Attempts)
					require.Equal(k.T, map[string]string{"a": "before"}, k.Fold("notes"))
					require.Equal(k.T, []string{"before"}, values(k.Records("results")))
					info, err := k.Broker.Group("worker")
					require.NoError(k.T, err)
					require.EqualValues(k.T, 1, info.Commits["jobs"][0].Offset)
				})
			})
		}
	}
}

// An input's own policy wins over that of the group, which wins over the default.
func TestOnError_TheInputsOwnWins(t *testing.T) {
	more := topology.NewStream("more", codec.String)
	g := define(t, "worker", topology.Input(jobs, doJob), topology.Persist(notes), topology.Output(results),
		topology.Input(more, doJob, policy.OnError(policy.Fail())))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		k.Topic("more", 1)
		i := k.Start(g, processor.Inputs(policy.OnError(policy.Skip())))
		k.Send("jobs", "a", "callback")
		k.Settle(g)
		k.Send("more", "a", "callback")
		var failed *processor.RecordError
		require.ErrorAs(k.T, i.Wait(), &failed)
		require.Equal(k.T, "more", failed.Topic)
	})
}

func TestInputs_FaultsAreReportedWithTheOthers(t *testing.T) {
	_, err := processor.New(worker(t, doJob), processor.StateDir("x"), processor.Inputs(topology.OnDelete(func(*topology.Context) error { return nil }),
		policy.OnError(policy.Retry(policy.Backoff{Attempts: 1}, policy.Retry(policy.Backoff{First: -1, Max: -2}, policy.Fail())))))
	for _, fault := range []string{"no broker given", "OnDelete belongs to one input", "1 attempts", "is a Retry itself", "first wait of -1ns", "longest wait of -2ns"} {
		require.ErrorContains(t, err, fault)
	}
	_, err = topology.Define("worker", topology.Input(jobs, nil, policy.OnError(policy.Retry(policy.Backoff{First: time.Minute}, policy.Skip()))))
	require.ErrorContains(t, err, "Input(jobs): the callback is nil")
	require.ErrorContains(t, err, "Input(jobs): OnError: Retry: the first wait of 1m0s is above the longest of 10s")
}

// flaky makes a callback that fails until it was called n times for a value.
func flaky(n int, calls map[string]int) func(*topology.Context, string) error {
	return func(ctx *topology.Context, how string) error {
		calls[how]++
		if err := doJob(ctx, how); err != nil {
			return err
		}
		if how == "flaky" && calls[how] < n {
			return errJob
		}
		return nil
	}
}

func TestR61_RetryThenSuccessCountsOnce(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		var seen failures
		calls := map[string]int{}
		g := worker(k.T, flaky(4, calls), policy.OnError(policy.Retry(policy.Backoff{First: time.Second, Max: 3 * time.Second}, policy.Fail())))
		k.Start(g, seen.option())
		began := time.Now()
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", "flaky"), job("a", "after")))
		k.Settle(g)
		require.WithinDuration(k.T, began.Add((1+2+3)*time.Second), time.Now(), time.Second)
		require.Equal(k.T, map[string]int{"before": 1, "flaky": 4, "after": 1}, calls)
		require.Equal(k.T, []string{"before", "flaky", "after"}, values(k.Records("results")), "each once, in order")
		require.Equal(k.T, []string{"1 retry 1", "1 retry 2", "1 retry 3"}, seen.actions())
	})
}

// The attempts of one record are not those of the next.
func TestRetry_CountsEachRecordsAttempts(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		var seen failures
		g := worker(k.T, doJob, policy.OnError(policy.Retry(policy.Backoff{Attempts: 2}, policy.Skip())))
		k.Start(g, seen.option())
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "callback"), job("a", "panic")))
		k.Settle(g)
		require.Equal(k.T, []string{"0 retry 1", "0 skip 2", "1 retry 1", "1 skip 2"}, seen.actions())
	})
}

// forever retries a minute apart without end.
var forever = policy.OnError(policy.Retry(policy.Backoff{Attempts: 1 << 30, First: time.Minute, Max: time.Minute}, policy.Fail()))

// committed is the group's offset in a partition of jobs.
func committed(k *streamtest.Kit, partition int32) int64 {
	k.T.Helper()
	info, err := k.Broker.Group("worker")
	require.NoError(k.T, err)
	return info.Commits["jobs"][partition].Offset
}

// While a record waits, what was before it is committed, and the other partitions go on.
func TestRetry_HoldsUpItsOwnPartitionOnly(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 2)
		k.Start(worker(k.T, doJob, forever))
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", "callback"), job("a", "after")))
		require.NoError(k.T, k.Broker.Produce("jobs", 1, job("b", "1")))
		time.Sleep(10 * time.Second)
		require.EqualValues(k.T, 1, committed(k, 0))
		require.EqualValues(k.T, 1, committed(k, 1))
		require.NoError(k.T, k.Broker.Produce("jobs", 1, job("b", "2")))
		time.Sleep(10 * time.Second)
		require.EqualValues(k.T, 2, committed(k, 1))
		require.Equal(k.T, map[string]string{"a": "before", "b": "2"}, k.Fold("notes"))
	})
}

// The other inputs of the task wait, too: their records may be meant to come after it.
func TestRetry_HoldsUpTheTasksOtherInputs(t *testing.T) {
	more := topology.NewStream("more", codec.String)
	g := define(t, "worker", topology.Input(jobs, doJob, forever), topology.Persist(notes), topology.Output(results), topology.Input(more, doJob))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		k.Topic("more", 1)
		k.Start(g)
		k.Send("jobs", "a", "callback")
		time.Sleep(10 * time.Second)
		k.Send("more", "a", "other")
		time.Sleep(10 * time.Second)
		require.Empty(k.T, k.Records("results"))
	})
}

func TestRetry_StopEndsTheWait(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		calls := map[string]int{}
		g := worker(k.T, flaky(2, calls), forever)
		i := k.Start(g)
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", "flaky"), job("a", "after")))
		time.Sleep(10 * time.Second)
		began := time.Now()
		require.NoError(k.T, i.Stop())
		require.Less(k.T, time.Since(began), 10*time.Second, "the wait is a minute")
		require.EqualValues(k.T, 1, committed(k, 0))
		k.Start(g)
		k.Settle(g)
		require.Equal(k.T, map[string]int{"before": 1, "flaky": 2, "after": 1}, calls)
		require.Equal(k.T, []string{"before", "flaky", "after"}, values(k.Records("results")))
	})
}

func TestRetry_KillInTheWait(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		calls := map[string]int{}
		g := worker(k.T, flaky(3, calls), forever)
		i := k.Start(g)
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", "flaky"), job("a", "after")))
		time.Sleep(10 * time.Second)
		i.Crash()
		k.Start(g)
		k.Settle(g)
		require.Equal(k.T, map[string]int{"before": 1, "flaky": 3, "after": 1}, calls)
		require.Equal(k.T, []string{"before", "flaky", "after"}, values(k.Records("results")))
	})
}

// A second instance takes the partition while its record waits: the wait does not hold up the rebalance, and the new
// owner tries it from the first attempt on.
func TestRetry_RebalanceInTheWait(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 2)
		var seen failures
		g := worker(k.T, doJob, forever)
		a := k.StartAs("a", g)
		for p := range int32(2) {
			require.NoError(k.T, k.Broker.Produce("jobs", p, job("a", "before"), job("a", "callback"), job("a", "after")))
		}
		time.Sleep(10 * time.Second)
		began := time.Now()
		b := k.StartAs("b", g, seen.option())
		k.Until("shared", func() bool { return a.Running() == 1 && b.Running() == 1 })
		require.Less(k.T, time.Since(began), 20*time.Second, "the wait is a minute")
		k.Until("tried by b", func() bool { return len(seen.actions()) > 0 })
		require.Equal(k.T, []string{"1 retry 1"}, seen.actions())
		require.Equal(k.T, []string{"before", "before"}, values(k.Records("results")))
	})
}

// A lost partition ends the wait; what waits is tried by whoever has the partition next.
func TestRetry_LostInTheWait(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		calls := map[string]int{}
		g := worker(k.T, flaky(2, calls), forever)
		a := k.Start(g)
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", "flaky")))
		time.Sleep(10 * time.Second)
		a.Disconnect()
		k.Until("lost", func() bool { return len(a.Processor.Stats().Tasks) == 0 })
		require.Equal(k.T, 1, calls["flaky"])
		a.Connect()
		k.Settle(g)
		require.Equal(k.T, map[string]int{"before": 1, "flaky": 2}, calls)
		require.Equal(k.T, []string{"before", "flaky"}, values(k.Records("results")))
	})
}

// A table that is not declared is the group's fault and not a record's: to skip by it would skip everything.
func TestUndeclared_FailsWhateverThePolicy(t *testing.T) {
	g := define(t, "forgetful", topology.Input(clicks, onClick, policy.OnError(policy.Skip())))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Send("clicks", "a", "x")
		var u *topology.UndeclaredError
		require.ErrorAs(k.T, k.Launch("a", g).Wait(), &u)
	})
}

// A callback that fails while the processor stops: Run returns its error, and the record is not passed.
func TestR47_CallbackFailsDuringShutdown(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		inside := make(chan struct{})
		i := k.Start(worker(k.T, func(ctx *topology.Context, how string) error {
			if how == "callback" {
				close(inside)
				time.Sleep(5 * time.Second)
			}
			return doJob(ctx, how)
		}))
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", "callback")))
		<-inside
		var failed *processor.RecordError
		require.ErrorAs(k.T, i.StopFailing(), &failed)
		require.ErrorIs(k.T, failed, errJob)
		require.EqualValues(k.T, 1, failed.Offset)
		require.EqualValues(k.T, 1, committed(k, 0), "the record before it is committed, the failed one is not")
		require.Equal(k.T, []string{"before"}, values(k.Records("results")))
	})
}

// A callback sleeps past the rebalance time-out: its partition goes to another instance, which handles the record. When it
// wakes nothing of it counts, whatever it does and whatever the policy says.
func TestR64_CallbackWakesUnderANewGeneration(t *testing.T) {
	for name, wake := range map[string]func() error{
		"success": func() error { return nil }, "error": func() error { return errJob }, "panic": func() error { panic(errJob) },
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("jobs", 1)
				var slept atomic.Int32
				woke := make(chan struct{})
				g := worker(k.T, func(ctx *topology.Context, how string) error {
					if err := doJob(ctx, how); err != nil || how != "slow" || slept.Add(1) > 1 {
						return err
					}
					defer close(woke)
					time.Sleep(5 * time.Minute)
					return errors.Join(results.Emit(ctx, "a", []byte("late")), wake())
				}, toDead)
				var seen failures
				a := k.StartAs("a", g, seen.option(), processor.StopTimeout(5*time.Second))
				require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", "slow"), job("a", "after")))
				k.Until("asleep", func() bool { return slept.Load() == 1 })
				a.Disconnect()
				b := k.StartAs("b", g)
				k.Until("b has the partition", func() bool { return b.Running() == 1 })
				a.Connect()
				k.Settle(g)
				<-woke
				time.Sleep(time.Minute)
				require.Equal(k.T, []string{"before", "slow", "after"}, values(k.Records("results")))
				require.Equal(k.T, map[string]string{"a": "after"}, k.Fold("notes"))
				require.Empty(k.T, k.Records("dead"))
				require.Empty(k.T, seen.actions())
			})
		})
	}
}

// A callback that never returns: its partition stands still, the others go on, and a stop names it at the deadline.
func TestCallbackThatNeverReturns(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 2)
		release := make(chan struct{})
		g := worker(k.T, func(ctx *topology.Context, how string) error {
			if how == "never" {
				<-release
			}
			return doJob(ctx, how)
		}, policy.OnError(policy.Skip()))
		i := k.Start(g, processor.StopTimeout(5*time.Second))
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", "never"), job("a", "after")))
		for n := range 3 {
			require.NoError(k.T, k.Broker.Produce("jobs", 1, job("b", fmt.Sprint(n))))
			time.Sleep(time.Minute)
			require.EqualValues(k.T, n+1, committed(k, 1))
		}
		var stuck *processor.StuckError
		require.ErrorAs(k.T, i.StopFailing(), &stuck)
		require.Equal(k.T, []int32{0}, stuck.Tasks)
		close(release)
		time.Sleep(time.Minute)
		require.Equal(k.T, map[string]string{"b": "2"}, k.Fold("notes"), "nothing of the partition's open layer is written")
		require.Zero(k.T, committed(k, 0))
		k.Start(g)
		k.Settle(g)
		require.Equal(k.T, map[string]string{"a": "after", "b": "2"}, k.Fold("notes"))
	})
}
