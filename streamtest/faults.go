package streamtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// Instance gives the running instance of a name, nil where there is none.
func (k *Kit) Instance(name string) *Instance {
	for _, i := range slices.Backward(k.instances) {
		if i.name == name {
			if i.ended() {
				return nil
			}
			return i
		}
	}
	return nil
}

// Rebalance has the group run as the named instances and no others: those that are missing are started, with the options
// given, the others stopped cleanly, and then it waits until tasks are shared among the named ones. There must be as many
// tasks as instances.
func (k *Kit) Rebalance(g *topology.Group, names []string, options ...processor.Option) {
	k.t.Helper()
	for _, i := range k.instances {
		if i.group == g && !i.ended() && !slices.Contains(names, i.name) {
			if err := i.Stop(); err != nil {
				k.t.Fatalf("streamtest: instance %s: %v", i.name, err)
			}
		}
	}
	for _, name := range names {
		if k.Instance(name) == nil {
			k.StartAs(name, g, options...)
		}
	}
	k.Until("shared among the instances", func() bool {
		return !slices.ContainsFunc(names, func(name string) bool {
			i := k.Instance(name)
			return i == nil || i.Running() == 0
		})
	})
}

// Compact compacts a topic as Kafka's cleaner does: of each key the newest committed record stays, offsets and bounds stay
// as they are.
func (k *Kit) Compact(topic string) {
	k.t.Helper()
	k.note("compaction of %s", topic)
	k.seen(topic) // whose keys are still to be asked for
	for p := range k.partitions(topic) {
		k.check(k.Broker.Clean(topic, p))
	}
}

// Expire removes the records of a partition below an offset, as retention or DeleteRecords does; -1 removes all.
func (k *Kit) Expire(topic string, partition int32, offset int64) {
	k.t.Helper()
	k.note("the log of %s/%d begins at %d", topic, partition, offset)
	k.seen(topic)
	k.check(k.Broker.DeleteRecords(topic, partition, offset))
}

// Truncate takes the end of a partition away, from the batch that holds offset on, as an unclean election does, and gives
// the log's end now. What is written next has the offsets of what is gone. Run needs the option devbroker.Dir for it. See
// Broker.Truncate.
func (k *Kit) Truncate(topic string, partition int32, offset int64) (end int64) {
	k.t.Helper()
	k.seen(topic)
	end, err := k.Broker.Truncate(topic, partition, offset)
	k.check(err)
	k.note("the log of %s/%d ends at %d", topic, partition, end)
	k.forget(topic, partition, end)
	return end
}

// Recreate deletes a topic and creates it again, empty, with the partitions and settings that it had.
func (k *Kit) Recreate(topic string) {
	k.t.Helper()
	k.note("%s is made again", topic)
	k.seen(topic)
	config, partitions, err := k.Broker.Config(topic)
	k.check(err)
	k.check(k.Broker.DeleteTopic(topic))
	for p := range int32(partitions) {
		k.forget(topic, p, 0)
	}
	k.check(k.Broker.CreateTopic(topic, partitions, config))
}

// forget drops what is known of records that are gone.
func (k *Kit) forget(topic string, partition int32, from int64) {
	for _, h := range k.handled {
		h.forget(topic, partition, from)
	}
}

// FailNext answers the next count requests of a kind with an error code in place of the work; -1 means all of them. See
// Broker.Fail for more choices.
func (k *Kit) FailNext(r devbroker.Request, code devbroker.Code, count int) *devbroker.FaultHandle {
	k.note("%v is to be answered with %v, %d times", r, code, count)
	return k.Broker.Fail(devbroker.Fault{Request: r, Err: code, Count: count})
}

// OutOfRangeOnce has the next fetch of a topic's records refused as out of range, as if the log had been cut, while it is
// as it was.
func (k *Kit) OutOfRangeOnce(topic string) {
	k.note("a fetch of %s is to be out of range", topic)
	k.Broker.Fail(devbroker.Fault{Request: devbroker.Fetch, Topic: topic, Err: devbroker.OutOfRange})
}

// Delay has every request of a kind wait for d of virtual time before any work is done, until end is called.
func (k *Kit) Delay(r devbroker.Request, d time.Duration) (end func()) {
	k.note("%v takes %v", r, d)
	return k.Broker.Delay(r, d)
}

// HangTransaction writes a record to a partition in a transaction that stays open until the broker ends it, after timeout:
// nobody who reads committed records gets past it before. It may be committed or aborted meanwhile.
func (k *Kit) HangTransaction(topic string, partition int32, timeout time.Duration) *devbroker.Transaction {
	k.t.Helper()
	k.note("a transaction hangs in %s/%d for %v", topic, partition, timeout)
	k.transactions++
	txn, err := k.Broker.Begin(fmt.Sprintf("streamtest-%d", k.transactions), timeout)
	k.check(err)
	k.check(txn.Produce(topic, partition, devbroker.Record{Key: []byte("of a hanging transaction")}))
	return txn
}
