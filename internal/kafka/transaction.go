package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/state"
)

// TransactionTimeout is how long the coordinator waits for a producer that has begun a transaction before it aborts it.
const TransactionTimeout = 10 * time.Second

// Txn is what one transaction writes: records, and how far a group has come with them.
type Txn struct {
	Batches []OutBatch
	Group   string
	Offsets map[string]map[int32]Offset
	// Member is asked before each attempt to commit offsets. False: no claim lives now; it is asked again until ctx ends.
	Member func() (Member, bool)
}

// ErrProducerFenced: another process with the same transactional id is newer, or the coordinator has aborted a transaction
// that took too long. The caller asks its group whether it still has its tasks, and only then calls Recover afresh.
var ErrProducerFenced = errors.New("kafka: the producer is fenced")

// ErrNotRecovered: the producer has no epoch of its transactional id; call Recover.
var ErrNotRecovered = errors.New("kafka: the transactional producer is not recovered")

// TransactionError says that a transaction is not known to be committed. Nothing of it is seen by read_committed readers,
// but where Unknown says that it may have been committed. The producer writes nothing more before Recover.
type TransactionError struct {
	ID      string
	Request string
	Unknown bool
	// Final: no recovery helps. What Cause names must be put right: a missing right, a record that a topic does not take.
	Final bool
	Cause error
}

func (e *TransactionError) Error() string {
	tail := "aborted"
	if e.Unknown {
		tail = "the outcome is unknown"
	}
	return fmt.Sprintf("kafka: transaction of %s: %s: %v (%s)", e.ID, e.Request, e.Cause, tail)
}

// Unwrap gives the cause.
func (e *TransactionError) Unwrap() error { return e.Cause }

// Is makes an unknown outcome match ErrOutcomeUnknown.
func (e *TransactionError) Is(target error) bool { return e.Unknown && target == ErrOutcomeUnknown }

// Recover gets the producer an epoch of its transactional id, and has the coordinator abort what an earlier epoch left
// open; it returns when that is done. Afresh, it takes the id from whoever has it now. Not afresh, it does so only while
// nobody else has taken it, and is ErrProducerFenced otherwise: two processes that each take the id whenever they have lost
// it would go on fencing each other. Kafka 3.9.1 (4.3.0 does not) answers so as well where this call has ended an open transaction.
//
// Retriable trouble is tried again until ctx ends. A broker without transactions is a *VersionError at once.
func (p *Producer) Recover(ctx context.Context, afresh bool) error {
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return fmt.Errorf("kafka: transaction of %s: %w", p.conf.TransactionalID, err)
	}
	defer leave()
	req := &sarama.InitProducerIDRequest{Version: 4, TransactionalID: &p.conf.TransactionalID, TransactionTimeout: TransactionTimeout, ProducerID: -1, ProducerEpoch: -1}
	if !afresh {
		if p.last.id < 0 {
			return ErrNotRecovered
		}
		req.ProducerID, req.ProducerEpoch = p.last.id, p.last.epoch
	}
	p.seqs = newSequences()
	res, err := p.initProducer(ctx, req)
	if code, ok := errors.AsType[*Error](err); ok && !afresh && code.Code == int16(sarama.ErrInvalidProducerIDMapping) {
		req.ProducerID, req.ProducerEpoch = -1, -1 // idle for longer than transactional.id.expiration.ms: nobody has the id
		res, err = p.initProducer(ctx, req)
	}
	if err != nil {
		return p.transactionError("InitProducerID", err)
	}
	p.seqs.id, p.seqs.epoch = res.ProducerID, res.ProducerEpoch
	p.last = stamp{id: res.ProducerID, epoch: res.ProducerEpoch}
	return nil
}

func (p *Producer) initProducer(ctx context.Context, req *sarama.InitProducerIDRequest) (res *sarama.InitProducerIDResponse, err error) {
	err = p.ask(ctx, func(b *sarama.Broker) (err error) {
		if res, err = b.InitProducerID(req); err != nil {
			return err
		}
		return codeError(res.Err, "InitProducerID", "", -1)
	})
	return res, err
}

// Transact writes a transaction and returns when it is committed, the records' Offsets filled in. A marker of the broker's
// stands behind the last of them in each partition. Calls from several goroutines go one after the other.
//
// The naive way goes on after an error: it aborts and begins the next transaction under the same epoch. It fails where a
// Produce of the aborted one was not answered: it arrives late, in the middle of the next transaction, and becomes part of
// it. And where the answer to the commit is lost, to abort is wrong and to go on is a guess. The rule: after any error the
// producer writes nothing before Recover has raised its epoch, which ends what was open and fences what is on its way.
//
// The error is a *TransactionError. errors.Is matches ErrProducerFenced, ErrUnknownMember, ErrFencedInstance and ErrOutcomeUnknown.
func (p *Producer) Transact(ctx context.Context, t Txn) error {
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return fmt.Errorf("kafka: transaction of %s: %w", p.conf.TransactionalID, err)
	}
	defer leave()
	if !p.seqs.known() {
		return ErrNotRecovered
	}
	if t.empty() { // Kafka refuses to end what has not begun
		return nil
	}
	steps := []struct {
		request string
		do      func(context.Context, Txn) error
	}{{"AddPartitionsToTxn", p.addPartitions}, {"AddOffsetsToTxn", p.addOffsets}, {"Produce", p.produceTxn},
		{"TxnOffsetCommit", p.commitTxnOffsets}, {"EndTxn", p.endTxn}}
	for _, step := range steps {
		if err := step.do(ctx, t); err != nil {
			p.seqs = newSequences()
			return p.transactionError(step.request, err)
		}
	}
	return nil
}

func (t *Txn) empty() bool {
	return len(t.Offsets) == 0 && !slices.ContainsFunc(t.Batches, func(b OutBatch) bool { return b.Len() > 0 })
}

// transactionError says what an error of a request means for its transaction.
func (p *Producer) transactionError(request string, err error) error {
	e := &TransactionError{ID: p.conf.TransactionalID, Request: request, Unknown: request == "EndTxn", Cause: err}
	var code *Error
	var produce *ProduceError
	if errors.As(err, &code) {
		code.TransactionalID = e.ID
	}
	switch {
	case errors.As(err, &produce):
		aborted := *produce
		aborted.Unknown = false // records that may be in the log are aborted there
		e.Cause, e.Final = &aborted, p.finalProduce(produce)
	case code != nil:
		e.Final = treatTxn(sarama.KError(code.Code)) == txnFatal
	default:
		_, gone := errors.AsType[*state.TopicMissingError](err)
		_, old := errors.AsType[*VersionError](err)
		e.Final = gone || old
	}
	return e
}

// finalProduce tells whether records can never be written. What a producer without transactions would mend by a raised epoch,
// or not at all, a transaction does by an abort.
func (p *Producer) finalProduce(e *ProduceError) bool {
	if _, large := errors.AsType[*RecordTooLargeError](e); large || missing(e) {
		return true
	}
	code, ok := errors.AsType[*Error](e)
	if !ok {
		return false
	}
	switch sarama.KError(code.Code) {
	case sarama.ErrInvalidTxnState, sarama.ErrProducerFenced, sarama.ErrInvalidProducerEpoch, sarama.ErrInvalidProducerIDMapping, sarama.ErrUnknownProducerID,
		sarama.ErrOutOfOrderSequenceNumber, sarama.ErrDuplicateSequenceNumber:
		return false
	}
	return treat(sarama.KError(code.Code)) == refused
}

// ask has fn done by the coordinator of the producer's transactions, again until it is done or cannot be.
func (p *Producer) ask(ctx context.Context, fn func(*sarama.Broker) error) error {
	return p.client.askAgain(ctx, ofTransaction(p.conf.TransactionalID), use{ForCommit, p}, fn)
}

// askAgain has fn done by a coordinator, again while treatTxn says so. What takes long is told: a coordinator that is away, or one
// that cannot write the markers of the last transaction because a partition has no leader or too few replicas.
func (c *Client) askAgain(ctx context.Context, of coordKey, u use, fn func(*sarama.Broker) error) error {
	var gone absence
	began, said := time.Now(), time.Time{}
	return retry(ctx, func() error {
		err := of.in(c.onCoordinator(ctx, of, u, fn))
		if now := time.Now(); err != nil && now.Sub(began) >= complainAfter && now.Sub(said) >= complainEvery {
			said = now
			c.log.Warn("a transaction waits for its coordinator, which is asked again", "coordinator of", of.id, "since", began, "cause", err)
		}
		if moved(err) {
			c.forgetCoordinator(of)
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != int16(sarama.ErrUnknownTopicOrPartition) {
			gone = absence{}
		} else if gone.confirmed(time.Now(), absenceTimes, goneTime) {
			return &state.TopicMissingError{Topic: e.Topic}
		}
		return err
	})
}

func (p *Producer) addPartitions(ctx context.Context, t Txn) error {
	req := &sarama.AddPartitionsToTxnRequest{Version: 2, TransactionalID: p.conf.TransactionalID, ProducerID: p.seqs.id, ProducerEpoch: p.seqs.epoch,
		TopicPartitions: map[string][]int32{}}
	for _, b := range t.Batches {
		if b.Len() > 0 && !slices.Contains(req.TopicPartitions[b.Topic], b.Partition) {
			req.TopicPartitions[b.Topic] = append(req.TopicPartitions[b.Topic], b.Partition)
		}
	}
	if len(req.TopicPartitions) == 0 {
		return nil
	}
	return p.ask(ctx, func(b *sarama.Broker) error {
		res, err := b.AddPartitionsToTxn(req)
		if err != nil {
			return err
		}
		return worst("AddPartitionsToTxn", req.TopicPartitions, res.Errors)
	})
}

func (p *Producer) addOffsets(ctx context.Context, t Txn) error {
	if len(t.Offsets) == 0 {
		return nil
	}
	return p.ask(ctx, func(b *sarama.Broker) error {
		res, err := b.AddOffsetsToTxn(&sarama.AddOffsetsToTxnRequest{Version: 2, TransactionalID: p.conf.TransactionalID, ProducerID: p.seqs.id,
			ProducerEpoch: p.seqs.epoch, GroupID: t.Group})
		if err != nil {
			return err
		}
		return ofGroup(t.Group).in(codeError(res.Err, "AddOffsetsToTxn", "", -1))
	})
}

func (p *Producer) produceTxn(ctx context.Context, t Txn) error { return p.produce(ctx, t.Batches) }

// commitTxnOffsets commits under whatever generation is current; one that is over is no reason to abort.
func (p *Producer) commitTxnOffsets(ctx context.Context, t Txn) error {
	if len(t.Offsets) == 0 {
		return nil
	}
	for wait := newBackoff(); ; {
		member, ok := t.Member()
		var err error
		if ok {
			err = p.client.askAgain(ctx, ofGroup(t.Group), use{ForCommit, nil}, func(b *sarama.Broker) error {
				return p.sendTxnOffsets(b, t, member)
			})
			if !errors.Is(err, ErrIllegalGeneration) && !errors.Is(err, ErrRebalanceInProgress) {
				return err
			}
		}
		if wait.sleep(ctx) != nil {
			return endedWith(ctx, cmp.Or(err, errNoClaim))
		}
	}
}

var errNoClaim = errors.New("no claim lives")

func (p *Producer) sendTxnOffsets(b *sarama.Broker, t Txn, member Member) error {
	req := &sarama.TxnOffsetCommitRequest{Version: 3, TransactionalID: p.conf.TransactionalID, GroupID: t.Group, ProducerID: p.seqs.id, ProducerEpoch: p.seqs.epoch,
		GenerationID: member.Generation, MemberID: member.ID, Topics: map[string][]*sarama.PartitionOffsetMetadata{}}
	if member.InstanceID != "" {
		req.GroupInstanceID = &member.InstanceID
	}
	asked := map[string][]int32{}
	for topic, parts := range t.Offsets {
		for partition, o := range parts {
			metadata := encodeMetadata(o.TopicID)
			req.Topics[topic] = append(req.Topics[topic], &sarama.PartitionOffsetMetadata{Partition: partition, Offset: o.Position, LeaderEpoch: o.LeaderEpoch, Metadata: &metadata})
			asked[topic] = append(asked[topic], partition)
		}
	}
	res, err := b.TxnOffsetCommit(req)
	if err != nil {
		return err
	}
	return worst("TxnOffsetCommit", asked, res.Topics)
}

// endTxn commits. It is asked again until the coordinator tells the outcome: the same request is answered alike.
func (p *Producer) endTxn(ctx context.Context, t Txn) error {
	return p.ask(ctx, func(b *sarama.Broker) error {
		res, err := b.EndTxn(&sarama.EndTxnRequest{Version: 2, TransactionalID: p.conf.TransactionalID, ProducerID: p.seqs.id, ProducerEpoch: p.seqs.epoch, TransactionResult: true})
		if err != nil {
			return err
		}
		return codeError(res.Err, "EndTxn", "", -1)
	})
}

// worst gives the error of an answer by partition that decides: one that asking again does not cure before one that it does.
func worst(request string, asked map[string][]int32, answer map[string][]*sarama.PartitionError) error {
	var again, elsewhere error
	for topic, partitions := range asked {
		for _, partition := range partitions {
			i := slices.IndexFunc(answer[topic], func(e *sarama.PartitionError) bool { return e.Partition == partition })
			if i < 0 {
				again = errNoAnswer
				continue
			}
			code := answer[topic][i].Err
			err := codeError(code, request, topic, partition)
			switch treatTxn(code) {
			case txnDone:
			case txnAgain:
				again = err
			case txnElsewhere:
				elsewhere = err
			default:
				return err
			}
		}
	}
	return cmp.Or(again, elsewhere)
}
