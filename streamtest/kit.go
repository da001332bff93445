package streamtest

import (
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/processor"
)

// Kit is a broker and what runs against it, inside one test's bubble of virtual time.
type Kit struct {
	// T is the bubble's: use it for everything in the script.
	T *testing.T
	// Broker takes faults, deletions and whatever else a script does to Kafka.
	Broker *devbroker.Broker
	// Dir is where instances keep their state, in one folder for each name.
	Dir string

	t         testing.TB // T, save in tests of the kit itself
	log       *slog.Logger
	instances []*Instance
	expected  map[string]map[place]bool // records that an Expect has met, by topic
	keys      map[string]map[string]bool
	disks     map[string]*disk    // by the name of the instances
	handled   map[string]*handled // by group
	standing  []invariant
	trace     trace
	rand      *rand.Rand // of a script
	faults    []*fault   // that pass
	// transactions counts those that hang, for their ids.
	transactions int
}

// place is where a record is in its topic.
type place struct {
	partition int32
	offset    int64
}

// patience is how long a Kit waits for what must come. Only virtual time passes, and it passes quickly.
const patience = time.Hour

// Run starts a broker and calls script in virtual time. When script returns, instances still running are stopped, and a
// stop that fails fails the test. What the instances log is shown with a test that fails.
//
// The script runs in a bubble of testing/synctest: what it waits for has to happen inside, and package net is out of
// reach. Subtests begin outside, each with a Run of its own.
func Run(t *testing.T, script func(*Kit), options ...devbroker.Option) {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.NewTextHandler(t.Output(), nil))
	bubbletest.Run(t, func(t *testing.T) {
		b, err := devbroker.Start(append([]devbroker.Option{devbroker.Virtual()}, options...)...)
		if err != nil {
			t.Fatal(err)
		}
		k := &Kit{T: t, Broker: b, Dir: dir, t: t, log: log, expected: map[string]map[place]bool{}, keys: map[string]map[string]bool{},
			disks: map[string]*disk{}, handled: map[string]*handled{}}
		defer k.end()
		script(k)
	})
}

func (k *Kit) end() {
	k.t.Helper()
	k.StopAll()
	if err := k.Broker.Close(); err != nil {
		k.t.Errorf("streamtest: broker: %v", err)
	}
}

// Topic creates a topic; configs are pairs of name and value. Inputs have to be there before an instance starts; tables
// and outputs are created by it where they are missing.
func (k *Kit) Topic(name string, partitions int, configs ...string) {
	k.t.Helper()
	if len(configs)%2 != 0 {
		k.t.Fatalf("streamtest: topic %s: config %s has no value", name, configs[len(configs)-1])
	}
	set := map[string]string{}
	for i := 0; i < len(configs); i += 2 {
		set[configs[i]] = configs[i+1]
	}
	k.check(k.Broker.CreateTopic(name, partitions, set))
}

// check fails the test for an error of the broker.
func (k *Kit) check(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatalf("streamtest: %v", err)
	}
}

// partitions is how many a topic has.
func (k *Kit) partitions(topic string) int32 {
	k.t.Helper()
	_, n, err := k.Broker.Config(topic)
	k.check(err)
	return int32(n)
}

// Options are what an emitter, a view or a processor of your own needs to reach the broker and to keep state under the
// given name.
func (k *Kit) Options(name string) []processor.Option {
	return k.options(name, k.Broker.Dialer().DialContext)
}

func (k *Kit) options(name string, dial dialFunc) []processor.Option {
	return []processor.Option{processor.Brokers(k.Broker.Addrs()...), k.disk(name).option(filepath.Join(k.Dir, name)),
		processor.Dial(dial), processor.Logger(k.log.With("instance", name)), processor.Observe(k.trace.observer(name))}
}

// Advance lets d of virtual time pass, with all that happens in it.
func (k *Kit) Advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// step is how often a Kit looks whether what it waits for has come.
const step = 100 * time.Millisecond

// Until advances time until done answers true, for an hour of virtual time at most. what says what is waited for, for the
// failure.
func (k *Kit) Until(what string, done func() bool) {
	k.t.Helper()
	if !k.within(patience, done) {
		k.t.Fatalf("streamtest: after %v of virtual time: not %s\n%s", patience, what, k.status())
	}
}

func (k *Kit) within(d time.Duration, done func() bool) bool {
	for end := time.Now().Add(d); !done(); {
		if !time.Now().Before(end) {
			return false
		}
		k.Advance(step)
	}
	return true
}
