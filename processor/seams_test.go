package processor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
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

// draws is a random source for many goroutines.
type draws struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *draws) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// seams is a group with everything in it that can hold up, end or restart a task.
type seams struct {
	draws   *draws
	calm    bool // nothing fails and nothing is slow any more
	mu      sync.Mutex
	audited map[string]bool
	faults  []string
}

var (
	seamOrders    = topology.NewStream("orders", codec.String)
	seamAgain     = topology.NewStream("seams-again", codec.String)
	seamCustomers = topology.NewReadTable("customers", codec.String)
	seamLedger    = topology.NewTable("seams-ledger", codec.JSON[[]int]())
	seamEcho      = topology.NewTable("seams-echo", codec.JSON[[]int]())
)

var errSeam = errors.New("not now")

// trouble is now and then slow, with or without an eye on its context, or fails.
func (s *seams) trouble(ctx context.Context, often int) error {
	s.mu.Lock()
	calm := s.calm
	s.mu.Unlock()
	if calm {
		return nil
	}
	switch s.draws.n(often) {
	case 0:
		return errSeam
	case 1:
		panic("seam")
	case 2:
		time.Sleep(time.Duration(s.draws.n(8000)) * time.Millisecond)
	case 3, 4:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(s.draws.n(40_000)) * time.Millisecond):
		}
	}
	return nil
}

func (s *seams) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// note adds an order to its key's list, where it is not in it yet.
func (s *seams) note(ctx *topology.Context, table *topology.Table[[]int], order string) error {
	list, _, err := table.Get(ctx)
	if err != nil {
		return err
	}
	var n int
	fmt.Sscan(order, &n)
	if slices.Contains(list, n) {
		return nil
	}
	if len(list) > 0 && list[len(list)-1] > n {
		s.fault("%s: order %d after %v in %s", ctx.Key(), n, list, table.Name())
	}
	return table.Set(ctx, append(list, n))
}

func (s *seams) group(t *testing.T) *topology.Group {
	audit := topology.NewEffect("audit", func(ctx context.Context, rows []string) error {
		if err := s.trouble(ctx, 300); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, r := range rows {
			s.audited[r] = true
		}
		return nil
	})
	retry := policy.OnError(policy.Retry(policy.Backoff{Attempts: 1000, First: 100 * time.Millisecond, Max: 10 * time.Second}, policy.Fail()))
	return define(t, "seams", topology.Persist(seamLedger), topology.Persist(seamEcho), topology.BeforeCommit(audit),
		topology.Join(seamCustomers),
		topology.Input(seamOrders, func(ctx *topology.Context, order string) error {
			if _, ok, err := seamCustomers.Get(ctx); err != nil || !ok {
				s.fault("customer %s of order %s: %v %v", ctx.Key(), order, ok, err)
			}
			if err := s.note(ctx, seamLedger, order); err != nil {
				return err
			}
			if err := audit.Add(ctx, order); err != nil {
				return err
			}
			if err := seamAgain.Emit(ctx, ctx.Key(), order); err != nil {
				return err
			}
			return s.trouble(ctx, 50)
		}, retry),
		topology.Loop(seamAgain, func(ctx *topology.Context, order string) error {
			if err := s.note(ctx, seamEcho, order); err != nil {
				return err
			}
			return s.trouble(ctx, 200)
		}, retry),
		topology.Visit("touch", seamLedger, func(ctx *topology.Context, key string, list []int) error {
			if s.draws.n(30) == 0 {
				time.Sleep(time.Duration(s.draws.n(200)) * time.Millisecond)
			}
			return seamLedger.SetKey(ctx, key, list)
		}))
}

const seamPartitions = 4

// seamScript sends orders while everything that can go wrong does.
type seamScript struct {
	*seams
	k         *streamtest.Kit
	g         *topology.Group
	customers []string
	live      map[string]*streamtest.Instance
	sent      int
	trace     []string
}

func (s *seamScript) say(format string, args ...any) {
	s.trace = append(s.trace, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (s *seamScript) order(n int) {
	for range n {
		s.k.Send("orders", s.customers[s.sent%len(s.customers)], fmt.Sprint(s.sent))
		s.sent++
	}
}

func (s *seamScript) pause(ms int) { time.Sleep(time.Duration(s.draws.n(ms)) * time.Millisecond) }

func (s *seamScript) rows() {
	for _, c := range s.customers {
		s.k.Send("customers", c, "row")
	}
}

// reset writes the rows of the joined table again and takes the old ones away.
func (s *seamScript) reset() string {
	s.rows()
	for p := range int32(seamPartitions) {
		b, err := s.k.Broker.Bounds("customers", p)
		require.NoError(s.k.T, err)
		mine := 0
		for _, c := range s.customers {
			if partitionOf(c, seamPartitions) == p {
				mine++
			}
		}
		require.NoError(s.k.T, s.k.Broker.DeleteRecords("customers", p, b.End-int64(mine)))
	}
	return "the joined table is cut"
}

func (s *seamScript) launch(name string) {
	s.live[name] = s.k.Launch(name, s.g, processor.StopTimeout(15*time.Second), processor.MemoryBytes(int64(36+s.draws.n(64))<<20),
		processor.CommitInterval(time.Duration(20+s.draws.n(300))*time.Millisecond),
		processor.FlushInterval(time.Duration(100+s.draws.n(5000))*time.Millisecond))
}

// stop stops an instance, or learns how it has ended: an effect that fails ends it.
func (s *seamScript) stop(name string) {
	if err := s.live[name].StopFailing(); err != nil && !errors.As(err, new(*processor.EffectError)) {
		s.fault("end of %s: %v", name, err)
	}
	delete(s.live, name)
}

// reap looks for instances that have ended.
func (s *seamScript) reap() {
	for name, i := range s.live {
		if i.Processor.Stats().State == observe.StateStopped {
			s.stop(name)
		}
	}
}

// step lets one thing go wrong with an instance or with the broker, or starts an instance that is not there.
func (s *seamScript) step() {
	name := string(rune('a' + s.draws.n(3)))
	if s.live[name] == nil {
		s.say("launch %s", name)
		s.launch(name)
		return
	}
	s.say("%s", seamTroubles[s.draws.n(len(seamTroubles))](s, name))
}

// seamTroubles tell what they have done.
var seamTroubles = []func(s *seamScript, name string) string{
	func(s *seamScript, name string) string {
		s.live[name].Crash()
		delete(s.live, name)
		return "crash of " + name
	},
	func(s *seamScript, name string) string {
		s.stop(name)
		return "stop of " + name
	},
	func(s *seamScript, name string) string {
		s.live[name].Disconnect()
		s.pause(25_000)
		s.live[name].Connect()
		return name + " was cut off"
	},
	func(s *seamScript, _ string) string {
		node := int32(s.draws.n(3))
		require.NoError(s.k.T, s.k.Broker.StopNode(node))
		s.pause(20_000)
		require.NoError(s.k.T, s.k.Broker.StartNode(node))
		return fmt.Sprintf("node %d was away", node)
	},
	func(s *seamScript, _ string) string {
		require.NoError(s.k.T, s.k.Broker.ShuffleLeaders())
		return "leaders move"
	},
	func(s *seamScript, _ string) string {
		require.NoError(s.k.T, s.k.Broker.MoveCoordinators())
		return "coordinators move"
	},
	func(s *seamScript, _ string) string {
		s.k.Broker.Sever()
		return "connections break"
	},
	func(s *seamScript, _ string) string { return s.hold(s.k.Broker.Hold) },
	func(s *seamScript, _ string) string { return s.hold(s.k.Broker.HoldAnswer) },
	func(s *seamScript, _ string) string { return s.reset() },
	(*seamScript).visit,
	(*seamScript).visit,
	func(s *seamScript, _ string) string { return s.refuse() },
	func(s *seamScript, _ string) string { return s.refuse() },
}

func (s *seamScript) hold(how func(devbroker.Request, string) *devbroker.Held) string {
	requests := []devbroker.Request{devbroker.Produce, devbroker.OffsetCommit, devbroker.TxnOffsetCommit, devbroker.AddPartitionsToTxn, devbroker.AddOffsetsToTxn,
		devbroker.EndTxn, devbroker.InitProducerID, devbroker.Fetch, devbroker.ListOffsets, devbroker.Metadata, devbroker.OffsetFetch}
	q := requests[s.draws.n(len(requests))]
	held := how(q, "")
	s.pause(25_000)
	if s.draws.n(2) == 0 {
		held.Drop()
	}
	held.Release()
	return fmt.Sprintf("%v was held", q)
}

func (s *seamScript) refuse() string {
	requests := []devbroker.Request{devbroker.Produce, devbroker.OffsetCommit, devbroker.TxnOffsetCommit, devbroker.EndTxn, devbroker.Heartbeat, devbroker.JoinGroup, devbroker.SyncGroup}
	codes := []devbroker.Code{devbroker.NotCoordinator, devbroker.CoordinatorLoading, devbroker.IllegalGeneration, devbroker.RebalanceInProgress, devbroker.UnknownMemberID}
	f := devbroker.Fault{Request: requests[s.draws.n(len(requests))], Count: 1 + s.draws.n(3)}
	if f.Request == devbroker.Produce {
		codes = []devbroker.Code{devbroker.NotLeader, devbroker.Timeout, devbroker.StorageError, devbroker.UnknownServerError}
	}
	f.Err = codes[s.draws.n(len(codes))]
	s.k.Broker.Fail(f)
	return fmt.Sprintf("%d times %v to %v", f.Count, f.Err, f.Request)
}

func (s *seamScript) visit(name string) string {
	ctx, cancel := context.WithTimeout(s.k.T.Context(), time.Duration(s.draws.n(20_000))*time.Millisecond)
	p := s.live[name].Processor
	go func() {
		defer cancel()
		_, _ = p.Visit(ctx, "touch") // that it ends is enough
	}()
	return "visit in " + name
}

// Whatever comes together of pauses, retries, visits, effects, stops, lost leases and full layers: no order is lost or
// handled before an older one of its customer, none reaches Kafka without its effect, no row that was there all the time is
// absent, and in the end the tables are what their topics say.
func TestSeams_UnderChaos(t *testing.T) {
	const steps = 60
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	streamtest.Run(t, func(k *streamtest.Kit) {
		s := &seamScript{k: k, customers: users(12), live: map[string]*streamtest.Instance{},
			seams: &seams{draws: &draws{r: rand.New(rand.NewPCG(seed, 0))}, audited: map[string]bool{}}}
		defer func() {
			if k.T.Failed() {
				for _, line := range s.trace {
					k.T.Log(line)
				}
			}
		}()
		s.g = s.group(k.T)
		k.Topic("orders", seamPartitions)
		k.Topic("customers", seamPartitions, "cleanup.policy", "compact,delete")
		s.rows()
		for range steps {
			s.order(5)
			s.step()
			s.pause(6000)
			s.reap()
		}
		s.mu.Lock()
		s.calm = true
		s.mu.Unlock()
		k.Advance(time.Minute) // what failed before ends its instance
		s.reap()
		if s.live["a"] == nil {
			s.launch("a")
		}
		s.say("calm")
		k.Settle(s.g)
		for name := range s.live {
			if name != "a" {
				s.stop(name)
			}
		}
		a := s.live["a"]
		k.Until("a runs all", func() bool { return a.Running() == seamPartitions })
		k.Settle(s.g)
		s.mu.Lock()
		defer s.mu.Unlock()
		require.Empty(k.T, s.faults)
		for _, table := range []*topology.Table[[]int]{seamLedger, seamEcho} {
			fold := streamtest.FoldOf(k, table)
			seen := 0
			for _, list := range fold {
				seen += len(list)
			}
			require.Equal(k.T, s.sent, seen, table.Name())
			require.Equal(k.T, fold, streamtest.Read(a, table, s.customers...))
		}
		require.Len(k.T, s.audited, s.sent)
	}, devbroker.Brokers(3))
}
