package processor_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

var metamorphic = flag.Int("metamorphic", 8, "how many random scripts TestMetamorphic plays")

// shape is a group of a metamorphic run: the same callbacks, whatever else differs.
type shape struct {
	name       string
	partitions int
	names      []string
	policy     string // of the tables' topics
	exact      bool   // exactly once
	options    []processor.Option
}

// shapeOf draws one.
func shapeOf(r *rand.Rand, n int) shape {
	s := shape{name: fmt.Sprintf("meta-%d", n), partitions: 1 + r.IntN(4), names: []string{"a", "b", "c"}[:1+r.IntN(3)],
		policy: []string{"compact", "compact,delete"}[r.IntN(2)]}
	for i := range s.names {
		s.names[i] = fmt.Sprintf("%s%d", s.names[i], n)
	}
	s.options = []processor.Option{
		processor.StartTimeout(0), // cut off while it starts, it waits
		processor.CommitInterval(time.Duration(20+r.IntN(1000)) * time.Millisecond),
		processor.FlushInterval(time.Duration(100+r.IntN(10_000)) * time.Millisecond),
		processor.MemoryBytes(int64(40+r.IntN(200)) << 20),
		processor.StopTimeout(15 * time.Second),
	}
	if s.exact = r.IntN(3) > 0; !s.exact {
		s.options = append(s.options, processor.AtLeastOnce())
	}
	return s
}

// meta is one group over an input, with a table of sums, one of newest orders and a loop that fills a third.
type meta struct {
	shape
	orders, again *topology.Stream[int64]
	total         *topology.Table[int64]
	newest, echo  *topology.Table[int64]
	group         *topology.Group
}

func newMeta(t *testing.T, s shape) *meta {
	m := &meta{shape: s, orders: topology.NewStream(s.name+"-orders", codec.Int64), again: topology.NewStream(s.name+"-again", codec.Int64)}
	config := topology.Config("cleanup.policy", s.policy)
	m.total = topology.NewTable(s.name+"-total", codec.Int64, config)
	m.newest = topology.NewTable(s.name+"-newest", codec.Int64, config)
	m.echo = topology.NewTable(s.name+"-echo", codec.Int64, config)
	m.group = define(t, s.name, topology.Persist(m.total), topology.Persist(m.newest), topology.Persist(m.echo),
		topology.Input(m.orders, m.onOrder), topology.Loop(m.again, m.onAgain))
	return m
}

// onOrder counts; an order below 0 removes its key's newest one.
func (m *meta) onOrder(ctx *topology.Context, order int64) error {
	n, _, err := m.total.Get(ctx)
	if err != nil {
		return err
	}
	if order < 0 {
		err = m.newest.Delete(ctx)
	} else {
		err = m.newest.Set(ctx, order)
	}
	return errors.Join(err, m.total.Set(ctx, n+1), m.again.Emit(ctx, ctx.Key(), order))
}

func (m *meta) onAgain(ctx *topology.Context, order int64) error {
	if order < 0 {
		return m.echo.Delete(ctx)
	}
	return m.echo.Set(ctx, order)
}

// model is a map folded from the input: what the tables must hold where nothing of them was taken away.
type model struct {
	orders map[string]int64
	newest map[string]int64
}

func (m *meta) model(k *streamtest.Kit) model {
	want := model{map[string]int64{}, map[string]int64{}}
	for _, r := range streamtest.Records(k, m.orders) {
		want.orders[r.Key]++
		if r.Value < 0 {
			delete(want.newest, r.Key)
		} else {
			want.newest[r.Key] = r.Value
		}
	}
	return want
}

// holds compares tables with the model: each order counts, once where that is promised, and the newest one is the newest.
func (m *meta) holds(k *streamtest.Kit) error {
	want, total := m.model(k), streamtest.FoldOf(k, m.total)
	for key, n := range want.orders {
		if total[key] < n || m.exact && total[key] > n {
			return fmt.Errorf("%s: key %s has %d orders of %d", m.name, key, total[key], n)
		}
	}
	for _, table := range []*topology.Table[int64]{m.newest, m.echo} {
		got := streamtest.FoldOf(k, table)
		for key := range want.orders {
			value, there := want.newest[key]
			if had, has := got[key]; had != value || has != there {
				return fmt.Errorf("%s: key %s: %s has %d, %t, not %d, %t", m.name, key, table.Name(), had, has, value, there)
			}
		}
	}
	return nil
}

// unaltered compares the digests of what is on disk with those that are stored.
func (m *meta) unaltered(k *streamtest.Kit) error {
	for _, name := range m.names {
		i := k.Instance(name)
		if i == nil {
			continue
		}
		audits, err := i.Processor.Verify(k.T.Context())
		if err != nil && !errors.Is(err, processor.ErrNotReady) {
			return err
		}
		for _, a := range audits {
			if a.Altered() {
				return fmt.Errorf("%s: %s/%d: the digest is %s, stored is %s", name, a.Topic, a.Partition, a.Digest, a.Stored)
			}
		}
	}
	return nil
}

// sends are orders, each greater than those before it.
func (m *meta) sends() streamtest.Op {
	next := int64(0)
	op := streamtest.Sends(m.orders, 20, func(r *rand.Rand) streamtest.Record[int64] {
		next++
		order := next
		if r.IntN(4) == 0 {
			order = -next
		}
		return streamtest.KV(fmt.Sprintf("key-%d", r.IntN(40)), order)
	})
	op.Weight = 12
	return op
}

// Whatever goes wrong with several groups, each of another configuration: their tables are what their topics say, no order is
// lost and, where nothing was taken from the tables' topics, they hold what a map does that was folded from the input. Flags:
// -metamorphic n plays n scripts, -seed that of a failure.
func TestMetamorphic(t *testing.T) {
	for n := range *metamorphic {
		losses := n%3 == 2
		t.Run(fmt.Sprintf("%d, losses %t", n, losses), func(t *testing.T) {
			streamtest.Play(t, func(k *streamtest.Kit) streamtest.Script { return metamorphicScript(k, losses) },
				func(t *testing.T) []devbroker.Option {
					options := []devbroker.Option{devbroker.Brokers(3)}
					if losses {
						options = append(options, devbroker.Dir(t.TempDir())) // for its logs to be truncated
					}
					return options
				})
		})
	}
}

func metamorphicScript(k *streamtest.Kit, losses bool) streamtest.Script {
	r := k.Rand()
	script := streamtest.Script{Steps: 40, CheckEvery: 1 + r.IntN(5)}
	for n := range 1 + r.IntN(2) {
		m := newMeta(k.T, shapeOf(r, n))
		k.Topic(m.orders.Name(), m.partitions)
		k.StartAs(m.names[0], m.group, m.options...)
		script.Ops = append(script.Ops, streamtest.Faults(m.group, m.names, m.options...)...)
		script.Ops = append(script.Ops, m.sends())
		if losses {
			script.Ops = append(script.Ops, streamtest.Losses(m.group, m.names)...)
		} else {
			k.Invariant(m.name+" is what its input says", func() error { return m.holds(k) })
		}
		k.Invariant(m.name+" has on disk what it has written", func() error { return m.unaltered(k) })
	}
	pause := streamtest.Advances(10 * time.Second)
	pause.Weight = 8
	script.Ops = append(script.Ops, pause)
	return script
}
