package streamtest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// Kit is a broker and what runs against it, inside one test's bubble of virtual time.
type Kit struct {
	// T is the bubble's: use it for everything in the script.
	T *testing.T
	// Broker takes faults, deletions and whatever else a script does to Kafka.
	Broker *devbroker.Broker
	// Dir is where instances keep their state, in one folder for each name.
	Dir string

	log       *slog.Logger
	instances []*Instance
}

// Run starts a broker and calls script in virtual time. When script returns, instances still running are stopped, and a
// stop that fails fails the test.
func Run(t *testing.T, script func(*Kit), options ...devbroker.Option) {
	t.Helper()
	dir := t.TempDir()
	bubbletest.Run(t, func(t *testing.T) {
		b, err := devbroker.Start(append([]devbroker.Option{devbroker.Virtual()}, options...)...)
		if err != nil {
			t.Fatal(err)
		}
		k := &Kit{T: t, Broker: b, Dir: dir, log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
		defer k.end()
		script(k)
	})
}

func (k *Kit) end() {
	for _, i := range k.instances {
		if err := i.Stop(); err != nil && !i.failed {
			k.T.Errorf("instance %s: %v", i.name, err)
		}
	}
	if err := k.Broker.Close(); err != nil {
		k.T.Errorf("broker: %v", err)
	}
}

// Topic creates a topic; configs are pairs of name and value.
func (k *Kit) Topic(name string, partitions int, configs ...string) {
	k.T.Helper()
	set := map[string]string{}
	for i := 0; i+1 < len(configs); i += 2 {
		set[configs[i]] = configs[i+1]
	}
	if err := k.Broker.CreateTopic(name, partitions, set); err != nil {
		k.T.Fatal(err)
	}
}

// Send writes a record to the partition its key belongs to by the default hash.
func (k *Kit) Send(topic, key, value string) {
	k.T.Helper()
	_, n, err := k.Broker.Config(topic)
	if err == nil {
		p := topology.PartitionOf([]byte(key), int32(n))
		err = k.Broker.Produce(topic, p, devbroker.Record{Key: []byte(key), Value: []byte(value)})
	}
	if err != nil {
		k.T.Fatal(err)
	}
}

// Fold gives the newest value of each key of a topic, as a new reader of all of it would see it.
func (k *Kit) Fold(topic string) map[string]string {
	k.T.Helper()
	_, n, err := k.Broker.Config(topic)
	if err != nil {
		k.T.Fatal(err)
	}
	all := map[string]string{}
	for p := range n {
		rows, err := k.Broker.Fold(topic, int32(p))
		if err != nil {
			k.T.Fatal(err)
		}
		for key, value := range rows {
			all[key] = string(value)
		}
	}
	return all
}

// Records gives the committed records of a topic, partition by partition.
func (k *Kit) Records(topic string) []devbroker.Record {
	k.T.Helper()
	_, n, err := k.Broker.Config(topic)
	if err != nil {
		k.T.Fatal(err)
	}
	var all []devbroker.Record
	for p := range n {
		records, err := k.Broker.Records(topic, int32(p))
		if err != nil {
			k.T.Fatal(err)
		}
		all = append(all, records...)
	}
	return all
}

// Options are what an instance or a view needs to reach the broker and to keep state under the given name.
func (k *Kit) Options(name string) []processor.Option {
	return k.options(name, k.Broker.Dialer().DialContext)
}

func (k *Kit) options(name string, dial dialFunc) []processor.Option {
	return []processor.Option{processor.Brokers(k.Broker.Addrs()...), processor.StateDir(filepath.Join(k.Dir, name)),
		processor.Dial(dial), processor.Logger(k.log.With("instance", name))}
}

// Until advances time until done answers true, for an hour of virtual time at most.
func (k *Kit) Until(what string, done func() bool) {
	k.T.Helper()
	for range 36000 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	k.T.Fatalf("after an hour of virtual time: not %s", what)
}

// Start runs a group as instance "a" and waits until it is ready. See StartAs.
func (k *Kit) Start(g *topology.Group, options ...processor.Option) *Instance {
	k.T.Helper()
	return k.StartAs("a", g, options...)
}

// StartAs runs a group as an instance of that name and waits until it is ready. Its state stands in a folder of that
// name, which a later instance of the name takes over. A start that fails fails the test; see Launch.
func (k *Kit) StartAs(name string, g *topology.Group, options ...processor.Option) *Instance {
	k.T.Helper()
	i := k.Launch(name, g, options...)
	select {
	case <-i.Processor.Ready():
	case <-i.done:
		k.T.Fatalf("instance %s did not start: %v", name, i.err)
	case <-time.After(time.Hour):
		k.T.Fatalf("instance %s is not ready after an hour of virtual time: %s", name, i.Processor.Stats())
	}
	return i
}

// Launch runs a group as an instance of that name and does not wait.
func (k *Kit) Launch(name string, g *topology.Group, options ...processor.Option) *Instance {
	k.T.Helper()
	i := &Instance{name: name, kit: k, line: newLine(k.Broker.Dialer().DialContext), done: make(chan struct{})}
	p, err := processor.New(g, append(k.options(name, i.line.dial), options...)...)
	if err != nil {
		k.T.Fatal(err)
	}
	i.Processor = p
	ctx, cancel := context.WithCancel(k.T.Context())
	i.cancel = cancel
	k.instances = append(k.instances, i)
	task.New(ctx).Go("instance "+name, func(ctx context.Context) error {
		defer close(i.done)
		i.err = p.Run(ctx)
		return nil
	})
	return i
}

// Settle waits until the instances have committed everything that is in their inputs and loops.
func (k *Kit) Settle(g *topology.Group) {
	k.T.Helper()
	k.Until(fmt.Sprintf("settled: %s", g.Name()), func() bool { return k.lag(g) == 0 })
}

// lag is how many offsets of the inputs and loops the group has not committed.
func (k *Kit) lag(g *topology.Group) int64 {
	info, err := k.Broker.Group(g.Name())
	if err != nil {
		return -1
	}
	var lag int64
	for _, in := range g.Description().Inputs {
		_, n, err := k.Broker.Config(in.Name)
		if err != nil && in.Loop {
			return -1 // its group creates it
		}
		if err != nil {
			k.T.Fatal(err)
		}
		for p := range int32(n) {
			b, err := k.Broker.Bounds(in.Name, p)
			if err != nil {
				k.T.Fatal(err)
			}
			lag += b.End - max(info.Commits[in.Name][p].Offset, b.Start)
		}
	}
	return lag
}
