package processor_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// lines counts the connections that are open, and those that ever were.
type lines struct {
	through func(ctx context.Context, network, addr string) (net.Conn, error)

	mu         sync.Mutex
	open, ever int
}

func (l *lines) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := l.through(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	l.ever++
	return &counted{Conn: c, lines: l}, nil
}

func (l *lines) now() (open, ever int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.ever
}

type counted struct {
	net.Conn
	lines *lines
	once  sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() {
		c.lines.mu.Lock()
		defer c.lines.mu.Unlock()
		c.lines.open--
	})
	return c.Conn.Close()
}

// share makes a Client, and options that use it beside a state folder, whose connections are counted.
func share(k *streamtest.Kit) (*processor.Client, *lines, []processor.Option) {
	k.T.Helper()
	l := &lines{through: k.Broker.Dialer().DialContext}
	c, err := processor.NewClient(append(k.Options("shared"), processor.Dial(l.dial))...)
	require.NoError(k.T, err)
	return c, l, append(k.Options("shared"), c.Option())
}

// goRun runs what has a Run until stop.
func goRun(k *streamtest.Kit, run func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(k.T.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return func() error { cancel(); return <-done }
}

func TestClient_TenViewsHaveTheConnectionsOfOne(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		streamtest.Run(t, func(k *streamtest.Kit) {
			client, l, options := share(k)
			var stops []func() error
			var views []*processor.View[string]
			view := func(i int) {
				table := topology.NewTable(fmt.Sprintf("table-%d", i), codec.String)
				v, err := processor.NewView(table, options...)
				require.NoError(k.T, err)
				views, stops = append(views, v), append(stops, goRun(k, v.Run))
				<-v.Ready()
			}
			for i := range 10 {
				k.Topic(fmt.Sprintf("table-%d", i), 6, "cleanup.policy", "compact")
				for p := range int32(6) { // each node leads some of every table
					require.NoError(k.T, k.Broker.MoveLeader(fmt.Sprintf("table-%d", i), p, p%int32(nodes)))
				}
				for _, key := range users(12) {
					k.Send(fmt.Sprintf("table-%d", i), key, fmt.Sprint(i))
				}
			}
			open, _ := l.now()
			require.Zero(k.T, open, "nothing needs Kafka before Run")
			view(0)
			time.Sleep(time.Minute)
			one, _ := l.now()
			for i := range 9 {
				view(i + 1)
			}
			time.Sleep(time.Minute)
			ten, _ := l.now()
			fmt.Printf("connections to %d nodes: one view %d, ten views %d\n", nodes, one, ten)
			require.Equal(k.T, one, ten)
			for i, v := range views {
				k.Send(fmt.Sprintf("table-%d", i), "user-1", "new")
				require.NoError(k.T, v.Sync(k.T.Context()))
				value, _, err := v.Get("user-1")
				require.NoError(k.T, err)
				require.Equal(k.T, "new", value)
				if i%2 == 0 { // the others go on
					require.NoError(k.T, stops[i]())
				}
			}
			for i := range views {
				if i%2 == 1 {
					require.NoError(k.T, stops[i]())
				}
			}
			client.Close()
			open, _ = l.now()
			require.Zero(k.T, open)
		}, devbroker.Brokers(nodes))
	}
}

// A view that comes after the last one has gone finds the client as good as new.
func TestClient_UsedAgainAndClosed(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 2)
		fillPages(k, 5, "x")
		client, _, options := share(k)
		for range 3 {
			v := followView(k, options...)
			v.requireFold()
			require.NoError(k.T, v.stop())
		}
		v := followView(k, options...)
		client.Close()
		client.Close()
		require.ErrorContains(k.T, v.wait(), "closed")
		late, err := processor.NewView(pages, options...)
		require.NoError(k.T, err)
		require.ErrorContains(k.T, late.Run(k.T.Context()), "the client is closed")
	})
}

func TestClient_ClosedUnderAProcessor(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		client, _, options := share(k)
		p, err := processor.New(clicker(k.T), options...)
		require.NoError(k.T, err)
		done := make(chan error, 1)
		go func() { done <- p.Run(k.T.Context()) }()
		<-p.Ready()
		k.Send("clicks", "a", "x")
		time.Sleep(50 * time.Millisecond)
		began := time.Now()
		client.Close()
		require.ErrorContains(k.T, <-done, "closed")
		require.Less(k.T, time.Since(began), time.Minute)
	})
}

// Two processors, a view and an emitter in one process, on one client and on clients of their own, stopped in any order:
// each stop is clean, at once, and no matter of the others.
func TestClient_StoppedInAnyOrder(t *testing.T) {
	for _, shared := range []bool{true, false} {
		for _, order := range permutations(4) {
			t.Run(fmt.Sprintf("shared %v %v", shared, order), func(t *testing.T) {
				streamtest.Run(t, func(k *streamtest.Kit) { stopInOrder(k, shared, order) })
			})
		}
	}
}

func stopInOrder(k *streamtest.Kit, shared bool, order []int) {
	k.Topic("clicks", 2)
	k.Topic("clicks-count", 2, "cleanup.policy", "compact")
	options := k.Options("shared")
	if shared {
		client, l, with := share(k)
		options = with
		defer func() {
			client.Close()
			open, _ := l.now()
			require.Zero(k.T, open)
		}()
	}
	sums := topology.NewTable("sums", codec.Int64)
	adder := define(k.T, "adder", topology.Persist(sums), topology.Input(topology.NewStream("clicks", codec.String),
		func(ctx *topology.Context, _ string) error {
			n, _, err := sums.Get(ctx)
			if err != nil {
				return err
			}
			return sums.Set(ctx, n+1)
		}))
	counter := clicker(k.T)
	var stops []func() error
	for _, g := range []*topology.Group{counter, adder} {
		p, err := processor.New(g, options...)
		require.NoError(k.T, err)
		stops = append(stops, goRun(k, p.Run))
		<-p.Ready()
	}
	v, err := processor.NewView(counts, options...)
	require.NoError(k.T, err)
	stops = append(stops, goRun(k, v.Run))
	<-v.Ready()
	e, err := processor.NewEmitter(clicks, options...)
	require.NoError(k.T, err)
	stops = append(stops, func() error { return e.Close(k.T.Context()) })

	emitted := 0
	emit := func() {
		for _, key := range users(5) {
			if err := e.Emit(k.T.Context(), key, "x"); err == nil {
				emitted++
			}
		}
	}
	left := map[int]bool{0: true, 1: true, 2: true, 3: true}
	for _, next := range order {
		emit()
		began := time.Now()
		require.NoError(k.T, stops[next]())
		require.Less(k.T, time.Since(began), 2*time.Second)
		delete(left, next)
		if left[3] {
			require.NoError(k.T, e.Flush(k.T.Context()))
		}
		if left[0] {
			k.Settle(counter)
		}
		if left[1] {
			k.Settle(adder)
		}
		if left[2] {
			require.NoError(k.T, v.Sync(k.T.Context()))
			require.Equal(k.T, streamtest.FoldOf(k, counts), rows(k.T, v))
		}
	}
	require.Len(k.T, k.Records("clicks"), emitted)
}

// permutations gives all orders of 0 to n-1.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for at := range n {
			q := append(append(append([]int{}, p[:at]...), n-1), p[at:]...)
			all = append(all, q)
		}
	}
	return all
}
