package streamtest

import (
	"context"
	"sync"
	"time"

	"github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// Instance is one running processor of a Kit.
type Instance struct {
	// Processor is the instance itself, for Stats and reads.
	Processor *processor.Processor

	name     string
	options  []processor.Option
	kit      *Kit
	group    *topology.Group
	line     *line
	cancel   context.CancelFunc
	done     chan struct{}
	err      error
	failed   bool // its error was looked at, or told
	failures int  // of its disk when it was started
}

// Start runs a group as instance "a" and waits until it is ready. See StartAs.
func (k *Kit) Start(g *topology.Group, options ...processor.Option) *Instance {
	k.t.Helper()
	return k.StartAs("a", g, options...)
}

// StartAs runs a group as an instance of that name and waits until it is ready. Its state stands in a folder of that
// name: an instance started under the name of one that has stopped or crashed goes on with what that one has on disk.
// A start that fails fails the test; see Launch.
func (k *Kit) StartAs(name string, g *topology.Group, options ...processor.Option) *Instance {
	k.t.Helper()
	i := k.Launch(name, g, options...)
	select {
	case <-i.Processor.Ready():
	case <-i.done:
		i.failed = true
		k.t.Fatalf("streamtest: instance %s did not start: %v", name, i.err)
	case <-time.After(patience):
		k.t.Fatalf("streamtest: instance %s is not ready after %v of virtual time\n%s", name, patience, k.status())
	}
	return i
}

// Launch runs a group as an instance of that name and does not wait.
func (k *Kit) Launch(name string, g *topology.Group, options ...processor.Option) *Instance {
	k.t.Helper()
	i := &Instance{name: name, options: options, kit: k, group: g, line: newLine(k.Broker.Dialer().DialContext), done: make(chan struct{}),
		failures: k.disk(name).count().failures}
	h := k.watch(g)
	p, err := processor.New(h.group, append(append(k.options(name, i.line.dial), options...), processor.Observe(h.observer()))...)
	if err != nil {
		k.t.Fatalf("streamtest: instance %s: %v", name, err)
	}
	i.Processor = p
	ctx, cancel := context.WithCancel(k.t.Context())
	i.cancel = cancel
	k.instances = append(k.instances, i)
	k.note("start of %s", name)
	task.New(ctx).Go("instance "+name, func(ctx context.Context) error {
		defer close(i.done)
		i.err = p.Run(ctx)
		k.note("end of %s: %v", name, i.err)
		return nil
	})
	return i
}

// Stop stops the instance cleanly and gives Run's error.
func (i *Instance) Stop() error {
	i.cancel()
	<-i.done
	return i.err
}

// StopAll stops every instance cleanly, one after the other; a stop that fails fails the test.
func (k *Kit) StopAll() {
	k.t.Helper()
	for _, i := range k.instances {
		if err := i.Stop(); err != nil && !i.failed && !i.byDisk() {
			i.failed = true
			k.t.Errorf("streamtest: instance %s: %v", i.name, err)
		}
	}
}

// StopFailing is Stop for a stop that is expected to fail.
func (i *Instance) StopFailing() error {
	i.failed = true
	return i.Stop()
}

// Wait waits until Run returns by itself and gives its error; a run that goes on for an hour of virtual time fails the
// test.
func (i *Instance) Wait() error {
	i.kit.t.Helper()
	i.failed = true
	select {
	case <-i.done:
	case <-time.After(patience):
		i.kit.t.Fatalf("streamtest: instance %s still runs after %v of virtual time\n%s", i.name, patience, i.kit.status())
	}
	return i.err
}

// byDisk tells that the instance's disk has failed, which may have ended it. LevelDB keeps the cause in a text only.
func (i *Instance) byDisk() bool { return i.kit.disk(i.name).count().failures > i.failures }

func (i *Instance) ended() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

// Running counts the tasks of the instance that handle records.
func (i *Instance) Running() int {
	n := 0
	for _, t := range i.Processor.Stats().Tasks {
		if t.State == observe.TaskRunning {
			n++
		}
	}
	return n
}

// Disconnect cuts the instance off from the broker; Connect lets it back.
func (i *Instance) Disconnect() {
	i.kit.note("%s is cut off", i.name)
	i.line.cut()
}

// Connect ends a Disconnect.
func (i *Instance) Connect() {
	i.kit.note("%s is connected", i.name)
	i.line.mend()
}

// Zombie makes the instance one that others take for dead: what it sends from now on stands still on its way, and nothing
// reaches it. wake has it all arrive, late: also what it wrote as the owner of tasks that are others' by then. After that
// the instance finds the broker again.
func (i *Instance) Zombie() (wake func()) {
	i.kit.note("%s stands still", i.name)
	i.line.halt()
	return sync.OnceFunc(func() {
		i.kit.note("%s is awake", i.name)
		i.line.deliver()
	})
}
