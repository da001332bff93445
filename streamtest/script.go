package streamtest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tarnstream/tarn/devbroker"
)

var (
	runs = flag.Int("runs", 1, "how often a random script of package streamtest is played, each time with another seed")
	seed = flag.Uint64("seed", 0, "the seed of a random script of package streamtest, as its failure printed it; 0 draws one")
)

// Script is what a random run is made of: steps, each drawn from Ops.
type Script struct {
	// Steps is how many steps are drawn.
	Steps int
	// Ops are what is drawn from. See Faults and Losses.
	Ops []Op
	// CheckEvery is after how many steps Kit.Check is called; 0 means after each. It is called at the end in any case.
	CheckEvery int
}

// Op is a kind of step. It is drawn as often, beside the others, as its Weight says; 0 counts as 1.
type Op struct {
	Weight int
	// Draw makes a step. All chance is to come from r, and nothing from the state of the Kit: so that a seed gives the same
	// script each time.
	Draw func(r *rand.Rand) Step
}

// Step is one step of a script.
type Step struct {
	// Name is how the script shows it, with what was drawn for it.
	Name string
	// Do does it. A step that makes no sense at its time, such as a crash of what does not run, does nothing.
	Do func(k *Kit)
}

// Play draws a script from a seed and plays it in a Run of its own; setup makes topics, starts instances and says what is
// drawn. The same seed gives the same script, with the same records and faults; the order in which goroutines run is not
// given by it. A test that fails prints the seed, the script and the trace of what happened. Two flags of the test binary
// are for it: -runs n plays n scripts, as subtests, and -seed s plays that of a seed again:
//
//	go test -run TestMine -runs 100
//	go test -run TestMine -seed 4711 -runs 10
//
// options gives the broker's options for one run, and may be nil:
//
//	func(t *testing.T) []devbroker.Option { return []devbroker.Option{devbroker.Brokers(3), devbroker.Dir(t.TempDir())} }
//
// At the end what is left of the faults that Faults drew is over, a group that has no running instance any more gets its
// last one back, and Kit.Check is called.
func Play(t *testing.T, setup func(k *Kit) Script, options func(t *testing.T) []devbroker.Option) {
	t.Helper()
	for n := range *runs {
		s := *seed
		if s == 0 {
			s = rand.Uint64()
		}
		if *runs == 1 {
			play(t, s, setup, options)
			return
		}
		t.Run(fmt.Sprintf("run %d, seed %d", n+1, s), func(t *testing.T) { play(t, s, setup, options) })
	}
}

func play(t *testing.T, seed uint64, setup func(k *Kit) Script, options func(t *testing.T) []devbroker.Option) {
	t.Helper()
	var of []devbroker.Option
	if options != nil {
		of = options(t)
	}
	Run(t, func(k *Kit) {
		k.rand = rand.New(rand.NewPCG(seed, 0))
		var steps []Step
		at := -1
		defer func() {
			if k.T.Failed() || at < len(steps) {
				k.T.Logf("streamtest: seed %d, at step %d of the script\n%s", seed, at+1, listedSteps(steps))
				k.trace.show(k.T)
			}
		}()
		script := setup(k)
		steps = script.draw(k.rand)
		every := max(script.CheckEvery, 1)
		for at = range steps {
			k.note("step %d: %s", at+1, steps[at].Name)
			steps[at].Do(k)
			if (at+1)%every == 0 {
				k.Check()
			}
		}
		at = len(steps)
		k.calm()
		k.Check()
		k.StopAll() // what fails here has its seed told, too
	}, of...)
}

// Rand is the source of chance of a script, for what its setup draws; nil outside of Play.
func (k *Kit) Rand() *rand.Rand { return k.rand }

func (s *Script) draw(r *rand.Rand) []Step {
	var from []Op
	for _, op := range s.Ops {
		for range max(op.Weight, 1) {
			from = append(from, op)
		}
	}
	steps := make([]Step, s.Steps)
	for i := range steps {
		steps[i] = from[r.IntN(len(from))].Draw(r)
	}
	return steps
}

func listedSteps(steps []Step) string {
	lines := make([]string, len(steps))
	for i, s := range steps {
		lines[i] = fmt.Sprintf("\t%d: %s", i+1, s.Name)
	}
	return strings.Join(lines, "\n")
}

// passing has something end after d of virtual time, or when the script does.
func (k *Kit) passing(d time.Duration, end func()) {
	k.faults = append(k.faults, &fault{time.AfterFunc(d, end), end})
}

// fault is one that passes.
type fault struct {
	timer *time.Timer
	end   func()
}

// calm ends the faults and has every group that ran run again.
func (k *Kit) calm() {
	k.t.Helper()
	k.note("calm")
	for _, f := range k.faults {
		if f.timer.Stop() {
			f.end()
		}
	}
	k.faults = nil
	for name := range k.disks {
		k.MendDisk(name)
		k.SlowDisk(name, 0)
	}
	k.Advance(time.Minute) // what has failed by then ends its instance before it is looked at
	running := k.groups()
	for _, i := range slices.Clone(k.instances) {
		if !slices.Contains(running, i.group) {
			k.StartAs(i.name, i.group, i.options...)
			running = append(running, i.group)
		}
	}
}
