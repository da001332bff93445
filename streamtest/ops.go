package streamtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// Sends are steps that send up to most records to a stream, each drawn from r.
func Sends[T any](s Handle[T], most int, draw func(r *rand.Rand) Record[T]) Op {
	return Op{Draw: func(r *rand.Rand) Step {
		records := make([]Record[T], 1+r.IntN(most))
		for i := range records {
			records[i] = draw(r)
		}
		return Step{fmt.Sprintf("send %d records to %s", len(records), s.Name()), func(k *Kit) { Send(k, s, records...) }}
	}}
}

// Advances are steps that let up to d of virtual time pass.
func Advances(d time.Duration) Op {
	return Op{Draw: func(r *rand.Rand) Step {
		d := drawn(r, d)
		return Step{fmt.Sprintf("%v pass", d), func(k *Kit) { k.Advance(d) }}
	}}
}

func drawn(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(1+r.Int64N(most.Milliseconds())) * time.Millisecond
}

// Faults are steps that a group has to come through without any loss: instances of the given names stop, crash, start with
// the options given, are cut off and have a slow or a failing disk; nodes, connections, leaders and coordinators come and go;
// requests fail, are slow or are dropped; fetches are out of range that are not; logs of the tables are compacted, and
// transactions hang in them. Faults that last do so for up to half a minute of virtual time. A start that meets no broker
// waits for one, where the options do not set a StartTimeout: to end is what it is to do else, and no fault.
func Faults(g *topology.Group, names []string, options ...processor.Option) []Op {
	options = append([]processor.Option{processor.StartTimeout(0)}, options...)
	at := func(of func(r *rand.Rand, name string) Step) Op {
		return Op{Draw: func(r *rand.Rand) Step { return of(r, names[r.IntN(len(names))]) }}
	}
	start := at(func(_ *rand.Rand, name string) Step {
		return Step{"start " + name, func(k *Kit) { k.restart(name, g, options) }}
	})
	start.Weight = 3 // as many as end
	ops := []Op{start, at(stops), at(crashes), at(cuts), at(slowDisks), at(failingDisks),
		{Draw: nodes}, {Draw: severs}, {Draw: moves}, {Draw: refusals}, {Draw: refusals}, {Draw: delays}, {Draw: drops}}
	for _, t := range tablesOf(g) {
		ops = append(ops, ofTable(t.Name())...)
	}
	return ops
}

// restart starts an instance that does not run.
func (k *Kit) restart(name string, g *topology.Group, options []processor.Option) {
	k.t.Helper()
	if k.Instance(name) == nil {
		k.MendDisk(name)
		k.Launch(name, g, options...)
	}
}

// lives does something with an instance that runs.
func lives(name string, do func(k *Kit, i *Instance)) func(*Kit) {
	return func(k *Kit) {
		if i := k.Instance(name); i != nil {
			do(k, i)
		}
	}
}

func stops(_ *rand.Rand, name string) Step {
	return Step{"stop " + name, lives(name, func(k *Kit, i *Instance) {
		k.t.Helper()
		i.failed = true
		if err := i.Stop(); err != nil && !i.byDisk() {
			k.t.Fatalf("streamtest: stop of instance %s: %v", name, err)
		}
	})}
}

func crashes(_ *rand.Rand, name string) Step {
	return Step{"crash " + name, lives(name, func(_ *Kit, i *Instance) { i.Crash() })}
}

func cuts(r *rand.Rand, name string) Step {
	d := drawn(r, 30*time.Second)
	return Step{fmt.Sprintf("%s is cut off for %v", name, d), lives(name, func(k *Kit, i *Instance) {
		i.Disconnect()
		k.passing(d, i.Connect)
	})}
}

func slowDisks(r *rand.Rand, name string) Step {
	slow, d := drawn(r, time.Second), drawn(r, 30*time.Second)
	return Step{fmt.Sprintf("the disk of %s takes %v for %v", name, slow, d), func(k *Kit) {
		k.SlowDisk(name, slow)
		k.passing(d, func() { k.SlowDisk(name, 0) })
	}}
}

func failingDisks(r *rand.Rand, name string) Step {
	n := r.IntN(60)
	return Step{fmt.Sprintf("operation %d of the disk of %s fails", n, name), lives(name, func(k *Kit, _ *Instance) { k.FailDisk(name, n) })}
}

func nodes(r *rand.Rand) Step {
	n, d := r.Int32N(1<<16), drawn(r, 20*time.Second)
	return Step{fmt.Sprintf("node %d is away for %v", n, d), func(k *Kit) {
		node := n % int32(len(k.Broker.Addrs()))
		k.check(k.Broker.StopNode(node))
		k.passing(d, func() { _ = k.Broker.StartNode(node) }) // a broker that is closed has no nodes to start
	}}
}

func severs(*rand.Rand) Step {
	return Step{"connections break", func(k *Kit) { k.Broker.Sever() }}
}

func moves(r *rand.Rand) Step {
	if r.IntN(2) == 0 {
		return Step{"leaders move", func(k *Kit) { k.check(k.Broker.ShuffleLeaders()) }}
	}
	return Step{"coordinators move", func(k *Kit) { k.check(k.Broker.MoveCoordinators()) }}
}

// refusal is what a kind of request is refused with.
type refusal struct {
	request devbroker.Request
	codes   []devbroker.Code
}

func refusals(r *rand.Rand) Step {
	group := []devbroker.Code{devbroker.NotCoordinator, devbroker.CoordinatorLoading, devbroker.RebalanceInProgress, devbroker.IllegalGeneration}
	of := pick(r, []refusal{
		{devbroker.Produce, []devbroker.Code{devbroker.NotLeader, devbroker.Timeout, devbroker.StorageError}},
		{devbroker.Fetch, []devbroker.Code{devbroker.NotLeader, devbroker.StorageError, devbroker.OffsetNotAvailable}},
		{devbroker.ListOffsets, []devbroker.Code{devbroker.NotLeader, devbroker.LeaderNotAvailable, devbroker.OffsetNotAvailable}},
		{devbroker.OffsetCommit, group}, {devbroker.TxnOffsetCommit, group}, {devbroker.EndTxn, group[:2]},
		{devbroker.AddPartitionsToTxn, append(group[:2:2], devbroker.ConcurrentTransactions)}, {devbroker.AddOffsetsToTxn, group[:2]},
		{devbroker.InitProducerID, append(group[:2:2], devbroker.ConcurrentTransactions)}, {devbroker.Heartbeat, append(group, devbroker.UnknownMemberID)},
		{devbroker.JoinGroup, group[:2]}, {devbroker.SyncGroup, group[:3]},
		{devbroker.OffsetFetch, group[:2]},
	})
	code, n := pick(r, of.codes), 1+r.IntN(3)
	return Step{fmt.Sprintf("%d times %v to %v", n, code, of.request), func(k *Kit) { k.FailNext(of.request, code, n) }}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

var slowRequests = []devbroker.Request{devbroker.Produce, devbroker.Fetch, devbroker.ListOffsets, devbroker.Metadata,
	devbroker.OffsetCommit, devbroker.TxnOffsetCommit, devbroker.AddPartitionsToTxn, devbroker.EndTxn, devbroker.OffsetFetch, devbroker.Heartbeat}

func delays(r *rand.Rand) Step {
	q, wait, d := pick(r, slowRequests), drawn(r, 3*time.Second), drawn(r, 20*time.Second)
	return Step{fmt.Sprintf("%v takes %v for %v", q, wait, d), func(k *Kit) { k.passing(d, k.Delay(q, wait)) }}
}

// drops lose requests, and answers to what was done.
func drops(r *rand.Rand) Step {
	q, n, d := pick(r, slowRequests[:9]), 1+r.IntN(3), drawn(r, 20*time.Second)
	if r.IntN(2) == 0 {
		return Step{fmt.Sprintf("%d times %v is dropped", n, q), func(k *Kit) { k.Broker.Drop(q, n) }}
	}
	return Step{fmt.Sprintf("the answer to %v is kept for %v and dropped", q, d), func(k *Kit) {
		k.passing(d, k.Broker.HoldAnswer(q, "").Drop)
	}}
}

// ofTable are faults of a table's topic.
func ofTable(topic string) []Op {
	return []Op{
		{Draw: func(*rand.Rand) Step { return Step{"compact " + topic, func(k *Kit) { k.Compact(topic) }} }},
		{Draw: func(*rand.Rand) Step {
			return Step{"a fetch of " + topic + " is out of range", func(k *Kit) { k.OutOfRangeOnce(topic) }}
		}},
		{Draw: func(r *rand.Rand) Step {
			n, d := r.Int32N(1<<16), drawn(r, 30*time.Second)
			return Step{fmt.Sprintf("a transaction hangs in %s/%d for %v", topic, n, d), func(k *Kit) {
				k.HangTransaction(topic, n%k.partitions(topic), d)
			}}
		}},
	}
}

// Losses are steps after which a group's tables are not what they were, but still what their topics say: records of the
// tables' topics expire, the topics are made again, an instance of the given names comes back as a zombie and, where
// the broker has a Dir, logs are truncated.
func Losses(g *topology.Group, names []string) []Op {
	ops := []Op{{Draw: func(r *rand.Rand) Step { return zombies(r, pick(r, names)) }}}
	for _, t := range g.Description().Tables {
		topic := t.Name
		ops = append(ops, Op{Draw: func(r *rand.Rand) Step { return expiries(r, topic) }}, Op{Draw: func(*rand.Rand) Step {
			return Step{"make " + topic + " again", func(k *Kit) { k.Recreate(topic) }}
		}}, Op{Draw: func(r *rand.Rand) Step { return truncations(r, topic) }})
	}
	return ops
}

// truncations cut the end off a partition.
func truncations(r *rand.Rand, topic string) Step {
	n, part := r.Int32N(1<<16), r.Float64()
	return Step{fmt.Sprintf("the last %.0f%% of %s/%d are lost", 100*part, topic, n), func(k *Kit) {
		p := n % k.partitions(topic)
		b, err := k.Broker.Bounds(topic, p)
		k.check(err)
		k.seen(topic)
		end, err := k.Broker.Truncate(topic, p, b.End-int64(part*float64(b.End-b.Start)))
		if !errors.Is(err, devbroker.ErrNoDir) {
			k.check(err)
			k.note("the log of %s/%d ends at %d", topic, p, end)
		}
	}}
}

func zombies(r *rand.Rand, name string) Step {
	d := drawn(r, time.Minute)
	return Step{fmt.Sprintf("%s stands still for %v", name, d), lives(name, func(k *Kit, i *Instance) {
		wake := i.Zombie()
		k.Advance(d)
		wake()
	})}
}

// expiries remove a part of a partition.
func expiries(r *rand.Rand, topic string) Step {
	n, part := r.Int32N(1<<16), r.Float64()
	return Step{fmt.Sprintf("the first %.0f%% of %s/%d expire", 100*part, topic, n), func(k *Kit) {
		p := n % k.partitions(topic)
		b, err := k.Broker.Bounds(topic, p)
		k.check(err)
		k.Expire(topic, p, b.Start+int64(part*float64(b.End-b.Start)))
	}}
}
