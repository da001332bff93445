package workload

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/task"
)

const (
	// TrafficRate is how many records a second come while a process ends and the next one starts.
	TrafficRate = 10_000
	// trafficTime is how long they come before the first one ends, where a job does not say: many commits, and a flush of tarn's.
	trafficTime = 5 * time.Second
	// takeOver bounds how long the second process may take to commit something: a group session has to time out for some.
	takeOver = 3 * time.Minute
)

// restart runs a process that counts, ends it under traffic, and runs another one on what it has left behind. What is told is
// the second one's.
func restart(ctx context.Context, client *kafka.Client, j Job, self []string) (out Outcome, err error) {
	j.Topic = inputOf(j.Group)
	if _, err := Fill(ctx, client, kafka.TopicSpec{Name: j.Topic}, j.Shape); err != nil {
		return out, err
	}
	ctx, cancel := context.WithCancel(ctx)
	b := &bounce{client: client, job: j, self: self, sent: int64(j.Shape.Records), running: task.New(ctx)}
	defer func() { err = errors.Join(err, b.running.Wait()) }()
	defer cancel()            // ends what runs still
	ctx = b.running.Context() // ends with a process that nobody has told to
	first, err := b.start(ctx)
	if err != nil {
		return out, err
	}
	if err := b.caughtUp(ctx); err != nil {
		return out, err
	}
	second, err := b.replace(ctx, first)
	if err != nil {
		return out, err
	}
	if err := b.caughtUp(ctx); err != nil {
		return out, err
	}
	if out, err = second.outcome(); err != nil {
		return out, err
	}
	return out, b.verify(ctx)
}

// replace ends a process under traffic and starts another one, which works when it returns.
func (b *bounce) replace(ctx context.Context, first *counter) (second *counter, err error) {
	quiet := b.traffic(ctx)
	defer func() { err = errors.Join(err, quiet()) }()
	select {
	case <-time.After(cmp.Or(b.job.Time, trafficTime)):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := b.end(first); err != nil {
		return nil, err
	}
	if b.job.Profile != "" {
		b.job.Profile += "-again"
	}
	if second, err = b.start(ctx); err != nil {
		return nil, err
	}
	return second, b.takenOver(ctx)
}

// inputOf is what a Restart's group reads.
func inputOf(group string) string { return group + "-in" }

// bounce is a Restart under way.
type bounce struct {
	client *kafka.Client
	job    Job
	self   []string
	sent   int64 // to the input, once there is no traffic

	running *task.Group
}

// counter is a process of a bounce.
type counter struct {
	cmd     *exec.Cmd
	printed bytes.Buffer
	ended   chan error  // has one when it has ended
	told    atomic.Bool // to end
}

func (b *bounce) start(ctx context.Context) (*counter, error) {
	cmd, err := command(ctx, b.job, b.self)
	if err != nil {
		return nil, err
	}
	c := &counter{cmd: cmd, ended: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = &c.printed, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b.running.Go("counter", func(ctx context.Context) error {
		c.ended <- cmd.Wait()
		if !c.told.Load() && ctx.Err() == nil {
			return fmt.Errorf("workload: %s restart: the process has ended by itself: %v", b.job.Client, cmd.ProcessState)
		}
		return nil
	})
	return c, nil
}

// end ends the first process as the job has it.
func (b *bounce) end(c *counter) error {
	if !b.job.Kill {
		_, err := c.outcome()
		return err
	}
	c.told.Store(true)
	if err := c.cmd.Process.Kill(); err != nil {
		return err
	}
	if _, killed := errors.AsType[*exec.ExitError](<-c.ended); !killed {
		return errors.New("workload: the process has ended before it was killed")
	}
	return nil
}

// outcome ends a process cleanly and gives what it has to tell.
func (c *counter) outcome() (out Outcome, err error) {
	c.told.Store(true)
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return out, err
	}
	if err := <-c.ended; err != nil {
		return out, err
	}
	if err := json.Unmarshal(c.printed.Bytes(), &out); err != nil {
		return out, fmt.Errorf("read the outcome: %w", err)
	}
	out.CPU = cpuOf(c.cmd)
	if out.Seconds <= 0 {
		return out, errors.New("the process has handled nothing")
	}
	return out, nil
}

// traffic sends records until it is told to end.
func (b *bounce) traffic(ctx context.Context) (quiet func() error) {
	ctx, cancel := context.WithCancel(ctx)
	sending := task.New(ctx)
	sending.Go("traffic", func(ctx context.Context) error {
		const pause = 10 * time.Millisecond
		p := b.client.NewProducer(kafka.ProducerConfig{})
		defer p.Close()
		every := time.NewTicker(pause)
		defer every.Stop()
		draw := rand.New(rand.NewPCG(b.job.Shape.Seed, 1))
		for ctx.Err() == nil {
			batches := newBatches(b.job.Topic, b.job.Shape)
			for range TrafficRate * int(pause) / int(time.Second) {
				batches.add(draw, int(b.sent))
				b.sent++
			}
			// A request that is begun is finished: what was sent is known.
			if err := p.Produce(context.WithoutCancel(ctx), batches.all); err != nil {
				return err
			}
			select {
			case <-every.C:
			case <-ctx.Done():
			}
		}
		return nil
	})
	return func() error { cancel(); return sending.Wait() }
}

// takenOver waits until the second process has committed something.
func (b *bounce) takenOver(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, takeOver, fmt.Errorf("workload: nothing was committed for %v", takeOver))
	defer cancel()
	before := int64(-1)
	return awaitCommitted(ctx, b.client, b.job, func(committed int64) bool {
		if before < 0 {
			before = committed
		}
		return committed > before
	})
}

// caughtUp waits until all that was sent is committed.
func (b *bounce) caughtUp(ctx context.Context) error {
	return awaitCommitted(ctx, b.client, b.job, func(committed int64) bool { return committed == b.sent })
}

// verify tells whether each record was counted once; after a kill a client that is not exactly-once may have counted some twice.
func (b *bounce) verify(ctx context.Context) error {
	_, sum, err := counted(ctx, b.client, TableOf(b.job.Client, b.job.Group), b.job)
	if err != nil {
		return err
	}
	again := b.job.Kill && b.job.Client != Tarn && b.job.Client != Streams && b.job.Client != StreamsExactlyUncached
	if sum < b.sent || sum > b.sent && !again {
		return fmt.Errorf("workload: %s restart: the table adds up to %d, expected %d", b.job.Client, sum, b.sent)
	}
	return nil
}
