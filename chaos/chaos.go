package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/internal/realkafka"
	"github.com/tarnstream/tarn/internal/task"
)

// run is a run of the program.
type run struct {
	config
	out    io.Writer
	log    *slog.Logger
	began  time.Time
	site   *site
	ledger *ledger
	slots  []*slot
	fed    context.Context // ends with the feed
	audits atomic.Int64    // partitions found equal to their topic

	mu   sync.Mutex
	took map[string][]time.Duration // from each fault to the group's progress
}

// chaos is the whole of it.
func chaos(ctx context.Context, c config, out io.Writer) (err error) {
	if err := realkafka.Missing(); err != nil {
		return err
	}
	remove, err := c.makeDir()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "seed %d: %v, %s, %d processes, %d brokers of Kafka %s, %d partitions, %d keys, %d inputs a second; logs in %s\n",
		c.seed, c.time, c.guarantee, c.processes, c.brokers, c.kafka, c.partitions, c.keys, c.rate, c.dir)
	defer func() {
		if err == nil {
			err = remove()
		} else {
			err = fmt.Errorf("%w\nseed %d; the logs of the processes are in %s, those of the brokers in %s", err, c.seed, filepath.Join(c.dir, "logs"), filepath.Join(c.dir, "kafka"))
		}
	}()
	logs, err := os.Create(filepath.Join(c.dir, "driver.log"))
	if err != nil {
		return err
	}
	defer logs.Close()
	log := slog.New(slog.NewTextHandler(logs, nil))
	sarama.Logger = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &run{config: c, out: out, log: log, took: map[string][]time.Duration{}}
	defer func() { err = errors.Join(err, r.end()) }()
	if r.site, err = newSite(ctx, c); err != nil {
		return err
	}
	return r.all(ctx, fail)
}

// makeDir makes the folder for everything. remove is called at a good end.
func (c *config) makeDir() (remove func() error, err error) {
	if c.dir != "" {
		return func() error { return nil }, os.MkdirAll(c.dir, 0o755)
	}
	c.dir, err = os.MkdirTemp("", "tarn-chaos-")
	return func() error { return os.RemoveAll(c.dir) }, err
}

// end kills what still runs.
func (r *run) end() error {
	for _, s := range r.slots {
		s.kill()
	}
	if r.site == nil {
		return nil
	}
	return r.site.close()
}

func (r *run) all(ctx context.Context, fail func(error)) error {
	keys, err := r.spread()
	if err != nil {
		return err
	}
	r.ledger = newLedger(r.guarantee == exactlyOnce, keys)
	reading, err := r.tails(ctx)
	if err != nil {
		return err
	}
	go func() { // a tail that ends before its time ends everything
		if err := reading.Wait(); err != nil {
			fail(err)
		}
	}()
	for n := range r.processes {
		s := newSlot(r.config, r.site.cluster.Addrs(), n, fail)
		r.slots = append(r.slots, s)
		if err := s.start(); err != nil {
			return err
		}
	}
	if err := r.underLoad(ctx, slices.Sorted(maps.Keys(keys))); err != nil {
		return errors.Join(err, r.ledger.soFar())
	}
	if err := r.settle(ctx); err != nil {
		return errors.Join(err, r.ledger.soFar())
	}
	if err := r.site.finish(r.partitions); err != nil {
		return err
	}
	if err := reading.Wait(); err != nil {
		return err
	}
	return r.report()
}

// spread gives the keys with their partitions.
func (r *run) spread() (map[string]int32, error) {
	hash := sarama.NewHashPartitioner("")
	keys := map[string]int32{}
	for n := range r.keys {
		key := fmt.Sprintf("key-%d", n)
		p, err := hash.Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(key)}, int32(r.partitions))
		if err != nil {
			return nil, err
		}
		keys[key] = p
	}
	return keys, nil
}

// underLoad feeds while the scripts play.
func (r *run) underLoad(whole context.Context, keys []string) error {
	f := &feed{site: r.site, ledger: r.ledger, rate: r.rate, keys: keys, rand: rand.New(rand.NewPCG(r.seed, 0))}
	feeding, stop := context.WithCancel(whole)
	defer stop()
	var fed context.CancelFunc
	r.fed, fed = context.WithCancel(whole)
	defer fed()
	r.began = time.Now()
	first := r.ledger.after()
	g := task.New(feeding)
	g.Go("feed", func(ctx context.Context) error {
		defer fed()
		return f.run(ctx)
	})
	g.Go("scripts", func(ctx context.Context) error {
		defer stop()
		if err := r.goesOn(whole, fault{name: "start"}, first); err != nil {
			return err
		}
		return r.scripts(ctx, whole)
	})
	err := g.Wait()
	if err == nil {
		err = context.Cause(whole)
	}
	return err
}

// scripts play until the time is over.
func (r *run) scripts(ctx, whole context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.time)
	defer cancel()
	g := task.New(ctx)
	g.Go("processes", func(ctx context.Context) error {
		return r.play(ctx, whole, newScript(onProcesses(), r.seed, 1, 2*time.Second))
	})
	if r.brokers > 1 {
		g.Go("brokers", func(ctx context.Context) error {
			return r.play(ctx, whole, newScript(onBrokers(r.config), r.seed, 2, 10*time.Second))
		})
	}
	return g.Wait()
}

// settle waits until the group has committed all of its input, has the processes verify their tables, and stops them.
func (r *run) settle(ctx context.Context) error {
	err := persist(ctx, func() error {
		behind, err := r.site.behind(ctx, r.partitions)
		if err == nil && behind != "" {
			err = fmt.Errorf("the group has not committed all of its input: %s", behind)
		}
		return err
	})
	if err != nil {
		return err
	}
	var differs error // is final
	err = persist(ctx, func() error {
		var missing error
		missing, differs = r.verifyAll(ctx)
		if differs != nil {
			return nil
		}
		return missing
	})
	if err := errors.Join(err, differs); err != nil {
		return err
	}
	for _, s := range r.slots {
		if err := s.stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// verifyAll has every process verify what it has. missing tells that this was not every partition of the table yet.
func (r *run) verifyAll(ctx context.Context) (missing, differs error) {
	equal, rows := 0, int64(0)
	var skipped []string
	for _, s := range r.slots {
		a, err := s.verify(ctx)
		if err != nil {
			return nil, err
		}
		equal, rows, skipped = equal+a.Equal, rows+a.Rows, append(skipped, a.Skipped...)
	}
	if equal != r.partitions || rows != int64(r.keys) {
		return fmt.Errorf("%d partitions with %d rows are verified, not %d with %d: %q", equal, rows, r.partitions, r.keys, skipped), nil
	}
	r.audits.Add(int64(equal))
	return nil, nil
}

func (r *run) tell(f fault, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took[f.name] = append(r.took[f.name], took)
	fmt.Fprintf(r.out, "%7.1fs  %s: progress after %.1f s\n", time.Since(r.began).Seconds(), f.name, took.Seconds())
}

// report tells what came of it.
func (r *run) report() error {
	f := r.ledger.close()
	fmt.Fprintf(r.out, "\nseed %d, %v, %s, %d processes, %d brokers\n", r.seed, r.time, r.guarantee, r.processes, r.brokers)
	kills, faults := 0, 0
	var all []time.Duration
	for _, kind := range append(onProcesses(), onBrokers(r.config)...) {
		took := r.took[kind.name]
		faults += len(took)
		if kind.kill {
			kills += len(took)
		}
		all = append(all, took...)
		fmt.Fprintf(r.out, "%4d  %-44s %s\n", len(took), kind.name, figures(took))
	}
	fmt.Fprintf(r.out, "%d faults, %d of them kills; progress after %s\n", faults, kills, figures(all))
	fmt.Fprintf(r.out, "inputs %d, lost %d, double %d, handled again %d, other differences %d, audits of a table's partition %d\n",
		f.inputs, f.lost, f.double, f.again, f.wrong, r.audits.Load())
	if err := f.err(); err != nil {
		return err
	}
	fmt.Fprintln(r.out, "chaos: ok")
	return nil
}

// figures tells the median and the longest.
func figures(took []time.Duration) string {
	if len(took) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(took))
	return fmt.Sprintf("median %.1f s, longest %.1f s", sorted[len(sorted)/2].Seconds(), sorted[len(sorted)-1].Seconds())
}
