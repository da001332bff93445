package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarnstream/tarn/state"
)

// The defaults of a ProducerConfig.
const (
	// DefaultBatchBytes stays below Kafka's default max.message.bytes of 1048588.
	DefaultBatchBytes = 1_000_000
	// DefaultDelivery is the delivery deadline.
	DefaultDelivery = 2 * time.Minute
	// defaultRecordLimit is Kafka's own default of max.message.bytes, believed until Prepare was told otherwise.
	defaultRecordLimit = 1<<20 + 12
)

// ProducerConfig says how a Producer sends. The zero value is good.
type ProducerConfig struct {
	// MaxBatchBytes bounds a record batch. Default DefaultBatchBytes; a topic's own
	// max.message.bytes, where Prepare has read it, bounds it too.
	MaxBatchBytes int
	// Bytes bounds what it takes to make and send requests, an equal part for each broker; beside what Produce is given, which
	// it does not copy. A record that alone takes more goes alone. Default 32 MiB.
	Bytes int64
	// Timeout is how long one Produce call tries in all. Default DefaultDelivery.
	Timeout time.Duration
	// Missing is how long a topic that metadata does not know is waited for. Default Timeout: it may be about to be
	// created.
	Missing time.Duration
	// TransactionalID makes a producer of transactions: Recover and Transact in place of Produce.
	TransactionalID string
	// Allowed, where set, is asked right before each request: while it says no, none is sent.
	Allowed func() bool
	// Logger defaults to the Client's.
	Logger *slog.Logger
}

// OutRecord is one record to produce. A nil Key or Value is Kafka's null.
type OutRecord struct {
	Key, Value []byte
	Headers    []state.Header
	// Timestamp is in milliseconds since 1970.
	Timestamp int64
	// Offset is where the record is in the log, filled in by Produce; state.UnknownOffset where it is not acknowledged.
	Offset int64
}

// OutBatch is what one Produce call sends to one partition, in order: Records, or Rows where there are any.
type OutBatch struct {
	Topic     string
	Partition int32
	Records   []OutRecord
	Rows      Rows
	// Last is what the log has beside the last acknowledged of them, filled in by Produce; NoRecord where none is acknowledged.
	Last RecordID
	// Err is why some of the records are not acknowledged, a *ProduceError, filled in by Produce.
	Err error
}

// Len is how many records it has.
func (b *OutBatch) Len() int { return b.rows().Len() }

// Bytes is the size of their keys and values.
func (b *OutBatch) Bytes() (n int64) {
	all := b.all()
	for i := range all.n {
		r := all.row(i)
		n += int64(len(r.Key) + len(r.Value))
	}
	return n
}

func (b *OutBatch) rows() Rows {
	if b.Rows != nil {
		return b.Rows
	}
	return recordRows(b.Records)
}

func (b *OutBatch) all() series {
	rows := b.rows()
	return series{rows: rows, n: rows.Len()}
}

// Producer sends records idempotently with acks=all: whatever is asked again, a record is in the log once, and the
// records of a partition are in the order they were given. Up to five batches of a partition are in flight.
//
// The naive way is to send again what was not acknowledged. It fails in two places: a batch whose answer was lost is
// there twice, and a batch that was refused comes after its successor. So every batch carries the producer id, an epoch
// and the partition's next sequence number. A broker that knows the producer refuses a number that leaves some out
// (OUT_OF_ORDER_SEQUENCE_NUMBER), and answers one that it has with the first one's offset. With several batches in flight that
// is still not enough:
//
//   - What is said of a batch behind one in trouble is no more than a consequence, and to act on it gives numbers up that
//     are needed. So when a batch meets trouble nothing more is sent; when all in flight are answered, what was said of the
//     first of them decides, and it is sent first.
//   - A broker that does not know the producer takes any number: the second batch of all, while the first was refused. So a
//     partition's batches go one at a time until one of them is acknowledged, and again after a long silence.
//   - A broker knows no more than the last five batches again. So five is the bound from the first one that is not
//     acknowledged, those behind it included that are; and when one is split, its parts go one at a time.
//   - A connection that broke may bring its requests to the broker later, and a leader that has moved may not be the only one
//     that appends. So a batch that may be in the log already is only ever sent again as it was: same records, same numbers;
//     and what goes to another broker waits for what the first one says.
//
// Numbers are given up for new ones (a raised epoch) only when no batch that carried the old ones may be in the log, or when
// the caller has been told that one may be (ProduceError.Unknown). Old and new ones of a partition are not in flight together.
type Producer struct {
	client *Client
	conf   ProducerConfig
	window int // maxWindow
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelCauseFunc

	lock chan struct{} // held by the Produce call at work; it guards seqs
	seqs sequences
	last stamp // the id and epoch that Recover got last; the id is negative before

	arenas arenas
	making atomic.Int64 // what the requests take that are being made

	mu     sync.Mutex
	limits map[string]int // max.message.bytes by topic
	ids    []int64        // all that InitProducerID gave
}

// IDs are the producer ids that its batches have had in the log so far. A batch that was given up may still arrive.
func (p *Producer) IDs() []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ids)
}

// NewProducer makes a Producer. It touches no network before the first Produce. Close it when it is no more needed.
func (c *Client) NewProducer(cfg ProducerConfig) *Producer {
	cfg.MaxBatchBytes = cmp.Or(cfg.MaxBatchBytes, DefaultBatchBytes)
	cfg.Bytes = cmp.Or(cfg.Bytes, 32<<20)
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultDelivery)
	cfg.Missing = cmp.Or(cfg.Missing, cfg.Timeout)
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Producer{client: c, conf: cfg, window: maxWindow, log: cmp.Or(cfg.Logger, c.log), ctx: ctx, cancel: cancel,
		lock: make(chan struct{}, 1), seqs: newSequences(), last: stamp{id: -1}, arenas: arenas{most: int(cfg.Bytes / arenaShare)}, limits: map[string]int{}}
}

// Close ends the Produce call under way with ErrClosed and closes the producer's connections. It is idempotent.
func (p *Producer) Close() {
	p.cancel(ErrClosed)
	p.lock <- struct{}{}
	defer func() { <-p.lock }()
	p.client.release(p)
}

// Prepare reads the topics' max.message.bytes, which bounds batches and MaxRecordBytes from then on. One that is missing, since it
// is being made again, is waited for as Produce does.
func (p *Producer) Prepare(ctx context.Context, topics ...string) error {
	var configs map[string]map[string]string
	wait := newBackoff()
	for began := time.Now(); ; {
		var err error
		configs, err = p.client.TopicConfigs(ctx, topics...)
		if err == nil {
			break
		}
		if !missing(err) || time.Since(began) >= p.conf.Missing || wait.sleep(ctx) != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for topic, conf := range configs {
		p.limits[topic] = LimitsOf(conf).RecordBytes
	}
	return nil
}

// MaxRecordBytes is what EncodedSize of a record may be at most for the topic to take it uncompressed: its
// max.message.bytes as Prepare has read it, else Kafka's default. It asks no broker.
func (p *Producer) MaxRecordBytes(topic string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.limits[topic], defaultRecordLimit)
}

// Produce sends all batches and returns when every record is acknowledged, its Offset filled in. Records of one
// partition go in order, split into record batches by size; partitions go in parallel.
//
// Retriable trouble is tried again, with fresh metadata and a growing wait, until Timeout or ctx ends. Otherwise the
// error is the first failed partition's *ProduceError; the other partitions' records are still sent where possible.
// In either case a record whose Offset is state.UnknownOffset, or a row that is not Placed, is not acknowledged. What they hold must not
// be changed before Produce returns. Calls from several goroutines go one after the other.
func (p *Producer) Produce(ctx context.Context, batches []OutBatch) error {
	for _, b := range batches {
		for i := range b.Records {
			b.Records[i].Offset = state.UnknownOffset
		}
	}
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return fmt.Errorf("kafka: produce: %w", err)
	}
	defer leave()
	return p.produce(ctx, batches)
}

// enter makes the caller the one who writes, until leave. The context that it gives ends with the producer, too.
func (p *Producer) enter(ctx context.Context) (held context.Context, leave func(), err error) {
	held, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.ctx, func() { cancel(ErrClosed) })
	end := func() { stop(); cancel(nil) }
	select {
	case p.lock <- struct{}{}:
		end = func() { stop(); cancel(nil); <-p.lock }
	case <-held.Done():
	}
	if err := context.Cause(held); err != nil {
		end()
		return nil, nil, err
	}
	return held, end, nil
}

func (p *Producer) produce(ctx context.Context, batches []OutBatch) error {
	ctx, stop := context.WithTimeoutCause(ctx, p.conf.Timeout, fmt.Errorf("not acknowledged within %v: %w", p.conf.Timeout, context.DeadlineExceeded))
	defer stop()
	r := newRun(p, batches)
	p.drive(ctx, r)
	for i := range batches {
		batches[i].Last, batches[i].Err = r.outcome(laneKey{batches[i].Topic, batches[i].Partition})
	}
	return r.err()
}

// errNoAnswer stands for a partition that an answer leaves out.
var errNoAnswer = errors.New("kafka: the broker's answer leaves the partition out")
