package workload

import (
	"context"
	"net"
	"time"

	"golang.org/x/time/rate"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// crowdTables are the tables of a group that keeps three of each key: how many records it has had, the newest of them, and
// the sum of their lengths.
func crowdTables(group string) (counts, sizes *topology.Table[int64], last *topology.Table[[]byte]) {
	return topology.NewTable(group+"-counts", codec.Int64, topology.FNV1a()), topology.NewTable(group+"-sizes", codec.Int64, topology.FNV1a()),
		topology.NewTable(group+"-last", codec.Bytes, topology.FNV1a())
}

// CrowdTables are the topics of a crowd's tables.
func CrowdTables(group string) []string {
	counts, sizes, last := crowdTables(group)
	return []string{counts.Name(), sizes.Name(), last.Name()}
}

// CrowdCounts is the table by which a crowd is verified.
func CrowdCounts(group string) string {
	counts, _, _ := crowdTables(group)
	return counts.Name()
}

// tarnCrowd handles all records. It ends when every effect is in Kafka and on disk.
func tarnCrowd(ctx context.Context, j Job) (out Outcome, err error) {
	c := newClock(j.Records)
	group, err := crowd(j, c.tick)
	if err != nil {
		return out, err
	}
	p, err := processor.New(group, crowdOptions(j)...)
	if err != nil {
		return out, err
	}
	stop, ended := start(ctx, p.Run)
	watched := watch(ctx, p.Stats, &out)
	if err := c.wait(ctx, ended); err != nil {
		return out, err
	}
	if err := awaitAllCommitted(ctx, j); err != nil {
		return out, err
	}
	c.stop(&out)
	watched()
	return out, stop()
}

// tarnAgain ends when every table is restored. The group has committed all its records: it handles none.
func tarnAgain(ctx context.Context, j Job) (out Outcome, err error) {
	group, err := crowd(j, func() {})
	if err != nil {
		return out, err
	}
	p, err := processor.New(group, crowdOptions(j)...)
	if err != nil {
		return out, err
	}
	began := time.Now()
	stop, ended := start(ctx, p.Run)
	watched := watch(ctx, p.Stats, &out)
	select {
	case <-p.Ready():
	case err := <-ended:
		return out, err
	}
	out.Seconds, out.Peak = time.Since(began).Seconds(), PeakMemory()
	watched()
	return out, stop()
}

func crowd(j Job, tick func()) (*topology.Group, error) {
	counts, sizes, last := crowdTables(j.Group)
	events := topology.NewStream(j.Topic, codec.Bytes, topology.FNV1a())
	return topology.Define(j.Group, topology.Persist(counts), topology.Persist(sizes), topology.Persist(last),
		topology.Input(events, func(ctx *topology.Context, v []byte) error {
			defer tick()
			n, _, err := counts.Get(ctx)
			if err != nil {
				return err
			}
			size, _, err := sizes.Get(ctx)
			if err != nil {
				return err
			}
			if err := counts.Set(ctx, n+1); err != nil {
				return err
			}
			if err := sizes.Set(ctx, size+int64(len(v))); err != nil {
				return err
			}
			return last.Set(ctx, v)
		}))
}

func crowdOptions(j Job) []processor.Option {
	options := tarnOptions(j)
	if j.WriteRate > 0 {
		l := rate.NewLimiter(rate.Limit(j.WriteRate), writeBurst)
		options = append(options, processor.Dial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &slowConn{c, l}, err
		}))
	}
	if j.Memory > 0 {
		options = append(options, processor.MemoryBytes(j.Memory))
	}
	return options
}

// slowConn shares what may be written in a second with all other connections.
type slowConn struct {
	net.Conn
	limit *rate.Limiter
}

const writeBurst = 16 << 10

func (c *slowConn) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		n := min(len(b), writeBurst)
		if err := c.limit.WaitN(context.Background(), n); err != nil {
			return written, err
		}
		n, err = c.Conn.Write(b[:n])
		b, written = b[n:], written+n
	}
	return written, err
}

// watch looks at what is in use until it is told to end. Its parts are told one after the other, and what moves from one to another
// meanwhile may be counted twice: so two looks in a row have to show the most.
func watch(ctx context.Context, stats func() observe.Stats, out *Outcome) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop, _ := start(ctx, func(ctx context.Context) error {
		every := time.NewTicker(watchEvery)
		defer every.Stop()
		for before := int64(0); ; {
			m := stats().Memory
			out.see(m)
			out.Most, before = max(out.Most, min(before, m.InUse())), m.InUse()
			select {
			case <-every.C:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return func() { cancel(); _ = stop() }
}

const watchEvery = 5 * time.Millisecond

func (o *Outcome) see(m observe.MemoryStats) {
	u := &o.InUse
	u.Bound, u.Fixed, u.Stores, u.Blocks = m.Bound, max(u.Fixed, m.Fixed), max(u.Stores, m.Stores), max(u.Blocks, m.Blocks)
	u.Rows, u.Layers, u.Rebuilds = max(u.Rows, m.Rows), max(u.Layers, m.Layers), max(u.Rebuilds, m.Rebuilds)
	u.Fetched, u.Producing = max(u.Fetched, m.Fetched), max(u.Producing, m.Producing)
}
