package processor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// database is something outside of Kafka that takes rows in batches.
type database struct {
	before func(ctx context.Context, rows []string) error // called first, may be nil

	mu      sync.Mutex
	batches [][]string
}

func (d *database) write(ctx context.Context, rows []string) error {
	if d.before != nil {
		if err := d.before(ctx, rows); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.batches = append(d.batches, slices.Clone(rows))
	return nil
}

// rows are all rows written, in order.
func (d *database) rows() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Concat(d.batches...)
}

// writer is a group that writes a row for each job, whatever becomes of the job.
func writer(t *testing.T, d *database, options ...policy.InputOption) *topology.Group {
	t.Helper()
	rows := topology.NewEffect("db", d.write)
	return define(t, "worker", topology.Persist(notes), topology.Output(results), topology.BeforeCommit(rows),
		topology.Input(jobs, func(ctx *topology.Context, how string) error {
			return errors.Join(rows.Add(ctx, ctx.Key()+" "+how), doJob(ctx, how))
		}, options...))
}

// Each task's rows come in batches, one a commit, in order; before the commit they belong to.
func TestBeforeCommit_OneBatchATaskAndCommit(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 2)
		var ahead atomic.Bool // an offset was committed before its rows were written
		d := &database{}
		d.before = func(_ context.Context, rows []string) error {
			var p int32
			if rows[0][0] == 'b' {
				p = 1
			}
			ahead.Store(ahead.Load() || committed(k, p) > 0)
			return nil
		}
		for p, key := range []string{"a", "b"} {
			var records []devbroker.Record
			for n := range 10 {
				records = append(records, job(key, fmt.Sprint(n)))
			}
			require.NoError(k.T, k.Broker.Produce("jobs", int32(p), records...))
		}
		g := writer(k.T, d)
		k.Start(g, processor.CommitInterval(time.Minute))
		k.Settle(g)
		require.False(k.T, ahead.Load())
		require.Len(k.T, d.batches, 2)
		for _, rows := range d.batches {
			var want []string
			for n := range 10 {
				want = append(want, fmt.Sprint(rows[0][:1], " ", n))
			}
			require.Equal(k.T, want, rows)
		}
	})
}

// Nothing is handed over where nothing was added, and several effects are done in the order of their edges.
func TestBeforeCommit_SeveralInOrder(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		var done []string
		note := func(name string) *topology.Effect[string] {
			return topology.NewEffect(name, func(_ context.Context, rows []string) error {
				done = append(done, fmt.Sprint(name, rows))
				return nil
			})
		}
		first, second, third := note("first"), note("second"), note("third")
		g := define(k.T, "worker", topology.BeforeCommit(second), topology.BeforeCommit(third), topology.BeforeCommit(first),
			topology.Input(jobs, func(ctx *topology.Context, how string) error {
				if how == "none" {
					return nil
				}
				return errors.Join(first.Add(ctx, how), second.Add(ctx, how))
			}))
		k.Start(g)
		for _, how := range []string{"none", "1", "none", "2"} {
			k.Send("jobs", "a", how)
			k.Settle(g)
		}
		require.Equal(k.T, []string{"second[1]", "first[1]", "second[2]", "first[2]"}, done)
	})
}

// What a failed record has added is dropped with the rest of it, and the effect's rows are those of the others.
func TestR61_FailedRecordAddsNothing(t *testing.T) {
	for _, how := range ways {
		t.Run(how, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("jobs", 1)
				d := &database{}
				g := writer(k.T, d, policy.OnError(policy.Retry(policy.Backoff{Attempts: 3}, policy.Skip())))
				k.Start(g)
				require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", how), job("a", "after")))
				k.Settle(g)
				require.Equal(k.T, []string{"a before", "a after"}, d.rows())
			})
		})
	}
}

// An effect's error keeps its task's commit from happening, and only that; Run says what is not committed. After a restart
// the records are handled again.
func TestBeforeCommit_ErrorKeepsTheCommitFromHappening(t *testing.T) {
	errDown := errors.New("down")
	for name, fail := range map[string]func() error{"error": func() error { return errDown }, "panic": func() error { panic(errDown) }} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("jobs", 2)
				var down atomic.Bool
				d := &database{before: func(_ context.Context, rows []string) error {
					if down.Load() && rows[0][0] == 'a' {
						return fail()
					}
					return nil
				}}
				g := writer(k.T, d)
				i := k.Start(g)
				require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "0"), job("a", "1")))
				k.Settle(g)
				down.Store(true)
				require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "2"), job("a", "3"), job("a", "4")))
				require.NoError(k.T, k.Broker.Produce("jobs", 1, job("b", "0")))
				var failed *processor.EffectError
				require.ErrorAs(k.T, i.Wait(), &failed)
				require.Equal(k.T, "db", failed.Effect)
				require.EqualValues(k.T, 0, failed.Task)
				require.Equal(k.T, map[string][2]int64{"jobs": {2, 5}}, failed.Records)
				require.ErrorContains(k.T, failed, "effect db: records jobs/0 [2, 5) are not committed")
				if name == "error" {
					require.ErrorIs(k.T, failed, errDown)
				} else {
					var panicked *processor.PanicError
					require.ErrorAs(k.T, failed, &panicked)
				}
				require.EqualValues(k.T, 2, committed(k, 0))
				require.EqualValues(k.T, 1, committed(k, 1), "the other task's last commit happened")
				require.Equal(k.T, map[string]string{"a": "1", "b": "0"}, k.Fold("notes"))
				require.ElementsMatch(k.T, []string{"0", "1", "0"}, values(k.Records("results")))

				down.Store(false)
				k.Start(g)
				k.Settle(g)
				require.ElementsMatch(k.T, []string{"a 0", "a 1", "b 0", "a 2", "a 3", "a 4"}, d.rows())
				require.Equal(k.T, map[string]string{"a": "4", "b": "0"}, k.Fold("notes"))
			})
		})
	}
}

// A slow effect holds up its own task only.
func TestBeforeCommit_SlowOneHoldsUpItsTaskOnly(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 2)
		d := &database{before: func(_ context.Context, rows []string) error {
			if rows[0][0] == 'a' {
				time.Sleep(time.Minute)
			}
			return nil
		}}
		g := writer(k.T, d)
		k.Start(g)
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "0")))
		for n := range 20 {
			require.NoError(k.T, k.Broker.Produce("jobs", 1, job("b", fmt.Sprint(n))))
			time.Sleep(time.Second)
			require.EqualValues(k.T, n+1, committed(k, 1))
		}
		require.Zero(k.T, committed(k, 0))
		k.Settle(g)
		require.EqualValues(k.T, 1, committed(k, 0))
	})
}

// A task whose effect takes longer than the commit interval commits as soon as it is done.
func TestBeforeCommit_SlowOneIsCommittedAtOnce(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		var began time.Time
		d := &database{before: func(context.Context, []string) error { began = time.Now(); time.Sleep(time.Second); return nil }}
		g := writer(k.T, d)
		k.Start(g, processor.CommitInterval(time.Minute))
		k.Send("jobs", "a", "0")
		k.Until("committed", func() bool { return committed(k, 0) == 1 })
		require.Less(k.T, time.Since(began), 2*time.Second)
	})
}

// A stop waits for the effect under way.
func TestBeforeCommit_StopInTheEffect(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		inside := make(chan struct{}, 10)
		d := &database{before: func(context.Context, []string) error { inside <- struct{}{}; time.Sleep(5 * time.Second); return nil }}
		i := k.Start(writer(k.T, d))
		k.Send("jobs", "a", "0")
		<-inside
		k.Send("jobs", "a", "1")
		require.NoError(k.T, i.Stop())
		require.Equal(k.T, []string{"a 0"}, d.rows())
		require.EqualValues(k.T, 1, committed(k, 0))
		require.Equal(k.T, map[string]string{"a": "0"}, k.Fold("notes"))
	})
}

// A clean stop does the effect of what was handled since the last commit.
func TestBeforeCommit_LastOneAtAStop(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		d := &database{}
		i := k.Start(writer(k.T, d), processor.CommitInterval(time.Hour))
		k.Send("jobs", "a", "0")
		k.Until("handled", func() bool { return i.Processor.Stats().Records == 1 })
		require.Empty(k.T, d.rows())
		require.NoError(k.T, i.Stop())
		require.Equal(k.T, []string{"a 0"}, d.rows())
		require.EqualValues(k.T, 1, committed(k, 0))
	})
}

// An effect that fails by the stop fails Run: its records are not committed, and nobody would know.
func TestR47_EffectFailsDuringShutdown(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		inside := make(chan struct{})
		d := &database{before: func(context.Context, []string) error {
			close(inside)
			time.Sleep(5 * time.Second)
			return context.Canceled
		}}
		i := k.Start(writer(k.T, d))
		k.Send("jobs", "a", "0")
		<-inside
		require.ErrorAs(k.T, i.StopFailing(), new(*processor.EffectError))
		require.Zero(k.T, committed(k, 0))
		require.Empty(k.T, k.Fold("notes"))
	})
}

// An effect that outlasts the deadline of a rebalance is told so by its context and dropped with its commit; the partition's
// next owner does it again. That of the partition which stays goes on.
func TestBeforeCommit_RebalanceInTheEffect(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 2)
		inside, release := make(chan struct{}, 10), make(chan struct{})
		var ended atomic.Int32
		d := &database{before: func(ctx context.Context, _ []string) error {
			inside <- struct{}{}
			select {
			case <-ctx.Done():
				ended.Add(1)
				return nil // whatever it returns
			case <-release:
				return nil
			}
		}}
		g := writer(k.T, d)
		a := k.StartAs("a", g, processor.StopTimeout(5*time.Second))
		for p, key := range []string{"a", "b"} {
			require.NoError(k.T, k.Broker.Produce("jobs", int32(p), job(key, "0")))
			<-inside
		}
		b := k.Launch("b", g)
		k.Until("b is in the effect of the partition that a has lost", func() bool { return b.Running() == 1 && len(inside) == 1 })
		require.EqualValues(k.T, 1, ended.Load())
		require.Equal(k.T, 1, a.Running())
		require.Zero(k.T, committed(k, 0)+committed(k, 1))
		require.Empty(k.T, k.Records("results"))
		close(release)
		k.Settle(g)
		require.Equal(k.T, map[string]string{"a": "0", "b": "0"}, k.Fold("notes"))
		require.Equal(k.T, []string{"0", "0"}, values(k.Records("results")))
		require.Len(k.T, d.rows(), 3, "that of the lost partition twice")
	})
}

// A crash between the effect and the commit: the records are handled again, and the effect with them.
func TestBeforeCommit_CrashBeforeTheCommit(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		d := &database{}
		g := writer(k.T, d)
		i := k.Start(g)
		held := k.Broker.Hold(devbroker.Produce, "notes")
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "0"), job("a", "1")))
		<-held.Arrived()
		require.Equal(k.T, []string{"a 0", "a 1"}, d.rows())
		i.Crash()
		held.Release()
		require.Zero(k.T, committed(k, 0))
		k.Start(g)
		k.Settle(g)
		require.Equal(k.T, []string{"a 0", "a 1", "a 0", "a 1"}, d.rows())
		require.Equal(k.T, map[string]string{"a": "1"}, k.Fold("notes"))
	})
}

func TestBeforeCommit_Faults(t *testing.T) {
	ok := func(context.Context, []string) error { return nil }
	twice := topology.NewEffect("twice", ok)
	_, err := topology.Define("worker", topology.Input(jobs, doJob), topology.BeforeCommit(topology.NewEffect[string]("", nil)),
		topology.BeforeCommit[string](nil), topology.BeforeCommit(twice), topology.BeforeCommit(twice),
		topology.BeforeCommit(topology.NewEffect("jobs", ok)))
	var d *topology.DefineError
	require.ErrorAs(t, err, &d)
	require.Equal(t, []topology.Fault{
		{Edge: "BeforeCommit()", Reason: "the func is nil"},
		{Edge: "BeforeCommit()", Reason: "the effect's name is empty"},
		{Edge: "edge 3, BeforeCommit", Reason: "the handle is nil"},
		{Edge: "BeforeCommit(twice)", Reason: "the effect is used already, by BeforeCommit(twice)"},
	}, d.Faults)
}

func TestEffect_UndeclaredNamesTheEdge(t *testing.T) {
	rows := topology.NewEffect("db", (&database{}).write)
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		k.Send("jobs", "a", "0")
		err := k.Launch("a", worker(k.T, func(ctx *topology.Context, _ string) error { return rows.Add(ctx, "x") })).Wait()
		require.ErrorContains(k.T, err, "effect db is not declared: add topology.BeforeCommit to Define")
	})
}
