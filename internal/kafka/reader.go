package kafka

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tarnstream/tarn/internal/task"
)

// ReaderConfig tunes a Reader. Zero fields have good defaults.
type ReaderConfig struct {
	// MaxWait is how long a broker may wait for records when there are none. Default 500 ms.
	MaxWait time.Duration
	// Bytes bounds what the Reader holds: half of it records that were not taken yet, an equal part for each Cursor, and half
	// the answers that are being received, an equal part for each broker. A Cursor that holds its part is left out of the
	// fetches; one whose log has larger batches may have a batch of what the others' parts leave. A batch that is larger than a
	// part comes whole, and so does what a compressed one unfolds to. Default 64 MiB.
	Bytes int64
	// MetadataInterval is how often leaders and topic ids are checked while nothing is wrong. Default 10 s.
	MetadataInterval time.Duration
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c ReaderConfig) withDefaults() ReaderConfig {
	c.MaxWait = cmp.Or(c.MaxWait, 500*time.Millisecond)
	c.Bytes = cmp.Or(c.Bytes, 64<<20)
	c.MetadataInterval = cmp.Or(c.MetadataInterval, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// Reader fetches partitions for its Cursors: one loop and one connection a broker, many partitions a request. What is
// asked and what an answer does is decided by the fetcher, which has neither goroutine nor clock; the Reader is its shell.
type Reader struct {
	client  *Client
	cfg     ReaderConfig
	configs configCache

	// mu guards fetcher and kicks; it is never held over I/O.
	mu      sync.Mutex
	fetcher *fetcher
	kicks   map[int32]chan struct{} // by broker id: its loop looks again
	keeper  chan struct{}           // the metadata loop looks again
}

// NewReader makes a Reader. It starts nothing before Run.
func (c *Client) NewReader(cfg ReaderConfig) *Reader {
	cfg = cfg.withDefaults()
	return &Reader{client: c, cfg: cfg, fetcher: newFetcher(cfg), kicks: map[int32]chan struct{}{}, keeper: make(chan struct{}, 1),
		configs: configCache{entries: map[string]configEntry{}}}
}

// Run fetches until ctx ends, and then returns nil. Transport trouble and retriable codes are its own business. An error
// (*VersionError) means that a broker will never do; every Cursor then gives it too. Run is called once.
func (r *Reader) Run(ctx context.Context) error {
	group := task.New(ctx)
	group.Go("kafka reader: metadata", func(ctx context.Context) error { return r.keep(ctx, group) })
	err := group.Wait()
	r.client.release(r)
	if err != nil {
		r.Fail(err)
	}
	return err
}

// Fail gives every Cursor an error from now on.
func (r *Reader) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetcher.stop(err)
}

// Open makes a Cursor without a position: SeekTo gives it one. wake (may be nil; capacity 1) gets a non-blocking send
// whenever Poll has something new. Many Cursors may share a wake.
func (r *Reader) Open(topic string, partition int32, wake chan<- struct{}) *Cursor {
	f := newFlow(topic, partition, wake)
	r.mu.Lock()
	r.fetcher.add(f, time.Now())
	r.mu.Unlock()
	signal(r.keeper)
	return &Cursor{reader: r, flow: f}
}

// keep refreshes metadata where it is wanted and starts a loop for each broker that leads a partition.
func (r *Reader) keep(ctx context.Context, group *task.Group) error {
	var said time.Time
	for {
		names, wait := r.wanted(group)
		if len(names) == 0 {
			if !pause(ctx, r.keeper, wait) {
				return nil
			}
			continue
		}
		_, err := r.refresh(ctx, names...)
		r.rest()
		if v, ok := errors.AsType[*VersionError](err); ok {
			return v
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			r.complain(&said, "metadata refresh failed", "err", err)
		}
	}
}

func (r *Reader) wanted(group *task.Group) ([]string, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for node := range r.fetcher.nodes {
		if r.kicks[node] == nil {
			kick := make(chan struct{}, 1)
			r.kicks[node] = kick
			group.Go("kafka reader: fetch", func(ctx context.Context) error { return r.loop(ctx, node, kick) })
		}
	}
	return r.fetcher.metadataDue(time.Now())
}

// rest keeps a wait between the refreshes of keep.
func (r *Reader) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetcher.refreshed(time.Now())
}

// refresh asks for metadata and applies it, also for a Cursor's Bounds.
func (r *Reader) refresh(ctx context.Context, names ...string) (map[string]Topic, error) {
	found, err := r.client.Refresh(ctx, names...)
	r.mu.Lock()
	r.fetcher.metadata(found, time.Now())
	r.mu.Unlock()
	r.kickAll()
	return found, err
}

// loop fetches from one broker. It stays until Run ends, idle when the broker leads nothing any more.
func (r *Reader) loop(ctx context.Context, node int32, kick <-chan struct{}) error {
	var said time.Time
	for {
		plan := r.plan(node)
		if len(plan.asks) == 0 {
			if !pause(ctx, kick, plan.wait) {
				return nil
			}
			continue
		}
		a := r.fetch(ctx, node, plan)
		if v, ok := errors.AsType[*VersionError](a.err); ok {
			return v
		}
		if ctx.Err() != nil {
			return nil
		}
		if a.err != nil {
			r.complain(&said, "fetch failed", "broker", node, "partitions", len(plan.asks), "err", a.err)
		}
		r.settle(plan, a)
	}
}

// complain warns, at most now and then: trouble is asked again about once a second for as long as it lasts.
func (r *Reader) complain(said *time.Time, msg string, args ...any) {
	level := slog.LevelDebug
	if time.Since(*said) >= complainEvery {
		*said, level = time.Now(), slog.LevelWarn
	}
	r.cfg.Logger.Log(context.Background(), level, msg, args...)
}

const complainEvery = 30 * time.Second

func (r *Reader) plan(node int32) fetchPlan {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fetcher.plan(node, time.Now())
}

func (r *Reader) fetch(ctx context.Context, node int32, plan fetchPlan) (a fetchAnswer) {
	request := plan.request()
	request.logs = &r.fetcher.unfold.logs
	a.res, a.sent, a.err = r.client.fetch(ctx, node, use{ForFetch, r}, request)
	a.unfold(plan, &r.fetcher.unfold)
	return a
}

func (r *Reader) settle(plan fetchPlan, a fetchAnswer) {
	r.mu.Lock()
	r.fetcher.answer(plan, a, time.Now())
	urgent := r.fetcher.urgent
	r.mu.Unlock()
	if urgent {
		signal(r.keeper)
	}
}

// Grow changes the bytes that the Reader may hold.
func (r *Reader) Grow(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetcher.cfg.Bytes += bytes
}

// Held is what the Reader holds now, in bytes: records that were not taken yet or are in use, and what the answers that are
// on their way may bring.
func (r *Reader) Held() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fetcher.held() + r.fetcher.flying
}

// kickAll makes every loop look again; the keeper too, which starts the loops that are missing.
func (r *Reader) kickAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kick := range r.kicks {
		signal(kick)
	}
	signal(r.keeper)
}

// kick makes the loop of one broker look again, and the keeper where there is none yet. r.mu is held.
func (r *Reader) kick(node int32) {
	if kick := r.kicks[node]; kick != nil {
		signal(kick)
	}
	if r.fetcher.urgent || r.kicks[node] == nil {
		signal(r.keeper)
	}
}

// signal sends without waiting; ch has room for one.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// pause waits for a kick or, where wait is not negative, for that time. It is false when ctx has ended.
func pause(ctx context.Context, kick <-chan struct{}, wait time.Duration) bool {
	var due <-chan time.Time
	if wait >= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-kick:
		return true
	case <-due:
		return true
	case <-ctx.Done():
		return false
	}
}
