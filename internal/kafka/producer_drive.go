package kafka

import (
	"cmp"
	"context"
	"time"

	"github.com/tarnstream/tarn/internal/task"
)

// drive is the shell around a run: it performs the run's commands and gives it their outcomes. A send is performed by its
// broker's goroutine, so that requests go out in order, and is answered while the next ones go out.
func (p *Producer) drive(ctx context.Context, r *run) {
	d := &drive{producer: p, group: task.New(ctx), events: make(chan event, maxWindow*len(r.lanes)+2), queues: map[int32]chan command{}}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !r.finished() && d.group.Context().Err() == nil {
		for _, c := range r.next(time.Now()) {
			d.start(c)
		}
		if r.finished() { // what next could not even prepare is settled without an answer
			break
		}
		timer.Reset(r.wait(time.Now(), d.flying))
		select {
		case e := <-d.events:
			d.flying--
			r.apply(e, time.Now())
		case <-timer.C:
		case <-d.group.Context().Done():
		}
	}
	r.expire(d.end(ctx, r))
}

// drive is what the shell around a run holds.
type drive struct {
	producer *Producer
	group    *task.Group
	events   chan event // with room for every command there can be: nobody waits to report
	queues   map[int32]chan command
	flying   int // commands without an outcome
}

func (d *drive) start(c command) {
	d.flying++
	if c.kind != cmdSend {
		d.group.Go("produce", func(ctx context.Context) error {
			d.events <- d.producer.perform(ctx, c)
			return nil
		})
		return
	}
	q := d.queues[c.node]
	if q == nil {
		q = make(chan command, maxRequests)
		d.queues[c.node] = q
		d.group.Go("produce", func(ctx context.Context) error {
			d.producer.sendAll(ctx, q, d.events)
			return nil
		})
	}
	q <- c
}

// end waits for all outcomes. After the call's own end nobody waits for a broker: its connections are cut, and the answers
// that were still to come are errors at once. It gives the cause of the end, nil for none.
func (d *drive) end(ctx context.Context, r *run) error {
	cause := context.Cause(ctx)
	if cause != nil {
		d.group.Stop(cause)
	}
	for _, q := range d.queues {
		close(q)
	}
	defect := d.group.Wait()
	if cause = cmp.Or(cause, defect); cause != nil {
		d.producer.client.cut(d.producer)
	}
	for d.flying > 0 && defect == nil {
		r.apply(<-d.events, time.Now())
		d.flying--
	}
	return cause
}
