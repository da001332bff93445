package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	worker "github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
)

// outbox holds what was emitted until Kafka has it, or it is given up.
//
// The naive way sends a batch from the goroutine that has filled it: emitters then wait for Kafka, and two of them send
// batches of one partition at a time, whose order is lost with the first that has to be sent again. The rule: records
// are appended to their partition under one lock, and one goroutine takes all there is, sends it, and takes again only
// when every record of it is acknowledged or given up. So a record is never overtaken by a later one of its partition.
type outbox struct {
	topic    scope.Topic
	conf     config
	batching policy.Batching
	client   *Client
	done     func() // the client is needed no more

	scratch sync.Pool
	room    *semaphore.Weighted // bytes that may still be held
	life    context.Context     // of the sender; ends it at once, with its Produce
	end     context.CancelCauseFunc

	starting chan struct{} // held by who connects, or closes what was connected
	// partitions are the topic's, 0 before it is known: then there is no producer and no sender yet.
	partitions atomic.Int32
	producer   *kafka.Producer
	sender     *worker.Group
	looked     time.Time // of the sender: when it last looked at the number of partitions

	closing atomic.Bool
	gone    chan struct{} // closed
	kick    chan struct{} // the sender looks again
	broken  chan struct{} // the sender has panicked: a defect, written to defect
	defect  error

	mu       sync.Mutex // guards what follows
	limits   scope.Limits
	keyed    bool // a compacted topic: Kafka refuses a null key, and with it all that is sent together
	pending  map[int32]*filling
	gathered int // bytes in pending
	oldest   time.Time
	ready    []load // to be sent, before pending; each has gathered enough
	urgent   bool   // send pending without lingering
	free     []*filling
	kept     int // memory of free
	turn     int32
	accepted uint64
	settled  uint64        // never above accepted
	changed  chan struct{} // closed and made anew when settled grows
	failed   map[int32]*policy.EmitError
	closed   bool
}

// load is records that are sent together, by ascending partitions.
type load struct {
	fillings []*filling
	bytes    int
}

// parcel is a record on its way into the outbox. A nil value is Kafka's null.
type parcel struct {
	key     string
	nullKey bool
	value   []byte
	headers []scope.Header
	at      time.Time
	to      *int32 // nil: by the key
	told    func(observe.Delivery)
	out     kafka.OutRecord
	size    int
}

func newOutbox(topic scope.Topic, conf config, client *Client, done func()) *outbox {
	o := &outbox{topic: topic, conf: conf, batching: conf.batching, client: client, done: done,
		scratch: sync.Pool{New: func() any { return new([]byte) }}, room: semaphore.NewWeighted(int64(conf.batching.Buffer)),
		starting: make(chan struct{}, 1), gone: make(chan struct{}), kick: make(chan struct{}, 1), broken: make(chan struct{}),
		pending: map[int32]*filling{}, changed: make(chan struct{}), failed: map[int32]*policy.EmitError{}}
	o.life, o.end = context.WithCancelCause(context.Background())
	return o
}

// parcelOverhead is the memory of a record in the outbox without key, value and headers, nearly.
const parcelOverhead = 128

// put takes a copy of the record.
func (o *outbox) put(ctx context.Context, p *parcel) error {
	if err := o.connect(ctx); err != nil {
		return err
	}
	p.out = kafka.OutRecord{Value: p.value, Headers: stateHeaders(p.headers)}
	if !p.nullKey {
		p.out.Key = bytesOf(p.key)
	}
	p.size = kafka.EncodedSize(&p.out)
	weight := min(int64(parcelOverhead+p.size), int64(o.batching.Buffer))
	if !o.room.TryAcquire(weight) {
		o.hurry()
		if o.room.Acquire(ctx, weight) != nil {
			return context.Cause(ctx)
		}
	}
	err := o.add(p, weight)
	if err != nil {
		o.room.Release(weight)
	}
	return err
}

// add appends to the partition's records.
func (o *outbox) add(p *parcel, weight int64) error {
	now := time.Now()
	p.out.Timestamp = now.UnixMilli()
	if !p.at.IsZero() {
		p.out.Timestamp = p.at.UnixMilli()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return errEmitterClosed
	}
	if err := o.limits.Check(o.topic.Name, scope.Emission{Key: p.key, Value: p.value, Headers: p.headers, Timestamp: p.out.Timestamp}); err != nil {
		return err
	}
	partition, err := o.place(p)
	if err != nil {
		return err
	}
	o.batch(partition).add(&p.out, p.told, weight)
	o.accepted++
	first := o.gathered == 0
	if first {
		o.oldest = now
	}
	if o.gathered += p.size; o.gathered >= o.batching.Bytes {
		o.pack()
	} else if !first {
		return nil
	}
	notify(o.kick)
	return nil
}

// pack makes what is pending ready to be sent. mu is held.
func (o *outbox) pack() {
	l := load{bytes: o.gathered, fillings: make([]*filling, 0, len(o.pending))}
	for _, p := range slices.Sorted(maps.Keys(o.pending)) {
		l.fillings = append(l.fillings, o.pending[p])
	}
	o.ready = append(o.ready, l)
	clear(o.pending)
	o.gathered, o.urgent = 0, false
}

// place gives the record's partition. mu is held.
func (o *outbox) place(p *parcel) (int32, error) {
	n := o.partitions.Load()
	switch {
	case p.nullKey && o.keyed:
		return 0, fmt.Errorf("processor: emit to %s: a compacted topic takes no null key", o.topic.Name)
	case p.to != nil && (*p.to < 0 || *p.to >= n):
		return 0, fmt.Errorf("processor: emit to %s: there is no partition %d of %d", o.topic.Name, *p.to, n)
	case p.to != nil:
		return *p.to, nil
	case p.nullKey:
		o.turn = (o.turn + 1) % n
		return o.turn, nil
	}
	return o.topic.Hash.Partition(p.out.Key, n), nil
}

// batch gives what gathers for a partition. mu is held.
func (o *outbox) batch(partition int32) *filling {
	b := o.pending[partition]
	if b == nil {
		if n := len(o.free); n > 0 {
			b, o.free = o.free[n-1], o.free[:n-1]
			o.kept -= b.memory()
		} else {
			b = new(filling)
		}
		b.Topic, b.Partition = o.topic.Name, partition
		o.pending[partition] = b
	}
	return b
}

// hurry has the sender send what there is without lingering.
func (o *outbox) hurry() {
	o.mu.Lock()
	o.urgent = o.gathered > 0
	o.mu.Unlock()
	notify(o.kick)
}

// work runs the sender. Who flushes must not wait for one that has panicked.
func (o *outbox) work(context.Context) error {
	if o.defect = protect(o.run); o.defect != nil {
		close(o.broken)
	}
	return o.defect
}

// run is the sender: it sends whatever is due, until its life ends.
func (o *outbox) run() error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		batches, wait := o.take(time.Now())
		if len(batches) > 0 {
			o.send(batches)
			continue
		}
		timer.Reset(wait)
		select {
		case <-o.kick:
		case <-timer.C:
		case <-o.life.Done():
			o.giveUp()
			return nil
		}
	}
}

// take takes what is ready, a bounded amount at a time so that there is room for others meanwhile, or what is pending
// where it is due; else it gives the time until that is.
func (o *outbox) take(now time.Time) (fillings []*filling, wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.ready) == 0 {
		if o.gathered == 0 {
			return nil, time.Hour
		}
		if wait := o.oldest.Add(o.batching.Linger).Sub(now); wait > 0 && !o.urgent {
			return nil, wait
		}
		o.pack()
	}
	for bytes := 0; len(o.ready) > 0 && bytes < o.batching.Buffer/takeShare; {
		fillings, bytes = append(fillings, o.ready[0].fillings...), bytes+o.ready[0].bytes
		o.ready[0] = load{}
		o.ready = o.ready[1:]
	}
	return fillings, 0
}

// takeShare is how many times the buffer is greater than what is sent at a time.
const takeShare = 8

// send returns when every record is acknowledged or given up, and told.
func (o *outbox) send(batches []*filling) {
	o.look()
	there := make([]*filling, 0, len(batches))
	for _, b := range batches {
		if b.Partition < o.partitions.Load() {
			there = append(there, b)
		} else {
			b.fail(kafka.ErrNoPartition)
		}
	}
	if err := o.produce(there); err != nil {
		o.looked = time.Time{} // the topic may have been made again
	}
	o.settle(batches)
}

func (o *outbox) produce(batches []*filling) error {
	out := make([]kafka.OutBatch, len(batches))
	for i, b := range batches {
		out[i] = b.OutBatch
	}
	err := o.producer.Produce(o.life, out)
	for i, b := range batches {
		b.Err = cmp.Or(out[i].Err, err)
	}
	return err
}

// giveUp settles what will not be sent any more.
func (o *outbox) giveUp() {
	o.mu.Lock()
	o.pack()
	all := o.ready
	o.ready = nil
	o.mu.Unlock()
	for _, l := range all {
		for _, b := range l.fillings {
			b.fail(context.Cause(o.life))
		}
		o.settle(l.fillings)
	}
}

// settle tells what became of records, and makes room.
func (o *outbox) settle(batches []*filling) {
	n, weight := uint64(0), int64(0)
	for _, b := range batches {
		weight += b.weight
	}
	o.room.Release(weight)
	var failed []*policy.EmitError
	for _, b := range batches {
		n += uint64(len(b.Records))
		if e := b.tell(o.conf.kafka.Logger); e != nil {
			failed = append(failed, e)
		}
		b.empty()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range failed {
		o.fail(e)
	}
	for _, b := range batches {
		if m := b.memory(); o.kept+m <= o.batching.Buffer {
			o.free, o.kept = append(o.free, b), o.kept+m
		}
	}
	o.settled += n
	close(o.changed)
	o.changed = make(chan struct{})
}

// fail adds to what Flush will tell. mu is held.
func (o *outbox) fail(e *policy.EmitError) {
	if before := o.failed[e.Partition]; before != nil {
		e.Records, e.Unknown, e.Cause = e.Records+before.Records, e.Unknown || before.Unknown, before.Cause
	}
	o.failed[e.Partition] = e
}

// flush waits for everything that was accepted before it, and gives what failed.
func (o *outbox) flush(ctx context.Context) error {
	o.mu.Lock()
	all := o.accepted
	o.mu.Unlock()
	o.hurry()
	for {
		o.mu.Lock()
		changed, done := o.changed, o.settled >= all
		if done {
			defer o.mu.Unlock()
			return o.failures()
		}
		o.mu.Unlock()
		select {
		case <-changed:
		case <-o.broken:
			return o.defect
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// failures gives what has failed since it was asked last. mu is held.
func (o *outbox) failures() error {
	var all []error
	for _, p := range slices.Sorted(maps.Keys(o.failed)) {
		all = append(all, o.failed[p])
	}
	clear(o.failed)
	return errors.Join(all...)
}

// close flushes and ends everything, once; who comes second waits for the first.
func (o *outbox) close(ctx context.Context) error {
	if o.closing.Swap(true) {
		await(ctx, o.gone)
		return nil
	}
	defer close(o.gone)
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	err := o.flush(ctx)
	o.end(errEmitterClosed)
	o.starting <- struct{}{} // whoever connects has seen the end
	if o.producer != nil {
		panicked := o.sender.Wait()
		o.producer.Close()
		o.mu.Lock()
		err = errors.Join(err, o.failures(), panicked)
		o.mu.Unlock()
	}
	o.done()
	return err
}

// connect learns the topic's partitions and limits the first time, and starts the sender.
func (o *outbox) connect(ctx context.Context) error {
	if o.partitions.Load() > 0 {
		return nil
	}
	select {
	case o.starting <- struct{}{}:
		defer func() { <-o.starting }()
	case <-o.life.Done():
		return errEmitterClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if o.partitions.Load() > 0 {
		return nil
	}
	ctx, cancel := until(ctx, o.life)
	defer cancel()
	if o.life.Err() != nil {
		return errEmitterClosed
	}
	partitions, err := o.lookUp(ctx)
	if err != nil {
		return err
	}
	o.producer = o.client.kafka.NewProducer(kafka.ProducerConfig{Timeout: o.batching.Delivery, Logger: o.conf.kafka.Logger})
	o.looked = time.Now()
	o.partitions.Store(partitions)
	o.sender = worker.New(o.life)
	o.sender.Go("sender", o.work)
	return nil
}

// lookUp reaches a broker and asks for the topic.
func (o *outbox) lookUp(ctx context.Context) (int32, error) {
	starting, cancel := o.conf.starting(ctx)
	defer cancel()
	name, client := o.topic.Name, o.client.kafka
	if err := client.Connect(starting, name); err != nil {
		return 0, err
	}
	if o.conf.awaitTopics {
		if err := awaitTopics(ctx, client, o.conf.kafka.Logger, name); err != nil {
			return 0, err
		}
		starting = ctx
	}
	topics, err := client.Refresh(starting, name)
	if err != nil {
		return 0, err
	}
	if t := topics[name]; t.Err != nil || len(t.Partitions) == 0 {
		return 0, cmp.Or(t.Err, error(&state.TopicMissingError{Topic: name}))
	}
	configs, err := client.TopicConfigs(starting, name)
	if err != nil {
		return 0, err
	}
	l := kafka.LimitsOf(configs[name])
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limits = scope.Limits{Bytes: l.RecordBytes, Size: sizeOf, Before: l.Before, After: l.After}
	o.keyed = strings.Contains(configs[name]["cleanup.policy"], "compact")
	return int32(len(topics[name].Partitions)), nil
}

// look takes over another number of partitions, as Kafka's own producers do. Trouble is left to the sending.
func (o *outbox) look() {
	if time.Since(o.looked) < lookEvery {
		return
	}
	o.looked = time.Now()
	ctx, cancel := context.WithTimeout(o.life, lookPatience)
	defer cancel()
	topics, err := o.client.kafka.Refresh(ctx, o.topic.Name)
	if t := topics[o.topic.Name]; err == nil && t.Err == nil && len(t.Partitions) > 0 {
		o.partitions.Store(int32(len(t.Partitions)))
	}
}

const (
	lookEvery    = time.Minute
	lookPatience = 5 * time.Second
)
