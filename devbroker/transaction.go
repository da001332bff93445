package devbroker

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Transaction is one transaction of a producer of its own. One that is neither committed nor aborted stays open until
// its time-out: a hanging transaction. It is for one goroutine.
type Transaction struct {
	b         *Broker
	id        string
	producer  producer
	sequences map[place]int32
}

// Begin opens a transaction under a transactional id. A transaction that is open under the same id is aborted, as Kafka
// does. The broker aborts this one after the time-out; 0 means a minute, 15 minutes is the longest.
func (b *Broker) Begin(id string, timeout time.Duration) (*Transaction, error) {
	if timeout == 0 {
		timeout = time.Minute
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 4, &id, int32(timeout.Milliseconds())
	req.ProducerID, req.ProducerEpoch = -1, -1
	resp, err := b.askCoordinator(id, req)
	if err != nil {
		return nil, err
	}
	r := resp.(*kmsg.InitProducerIDResponse)
	if err := codeError("begin "+id, Code(r.ErrorCode)); err != nil {
		return nil, err
	}
	return &Transaction{
		b: b, id: id, sequences: map[place]int32{},
		producer: producer{id: r.ProducerID, epoch: r.ProducerEpoch, txn: &id},
	}, nil
}

// Produce appends records to a partition as one batch of the transaction.
func (t *Transaction) Produce(topic string, partition int32, records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	at := place{topic, partition}
	if _, ok := t.sequences[at]; !ok {
		if err := t.enlist(at); err != nil {
			return err
		}
	}
	p := t.producer
	p.sequence = t.sequences[at]
	if err := t.b.write(at, p, records); err != nil {
		return err
	}
	t.sequences[at] += int32(len(records))
	return nil
}

func (t *Transaction) enlist(at place) error {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = 3, t.id, t.producer.id, t.producer.epoch
	rt := kmsg.NewAddPartitionsToTxnRequestTopic()
	rt.Topic, rt.Partitions = at.topic, []int32{at.partition}
	req.Topics = append(req.Topics, rt)
	resp, err := t.b.askCoordinator(t.id, req)
	if err != nil {
		return err
	}
	code := resp.(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode
	if code != 0 {
		return &Error{Op: "add to transaction " + t.id, Topic: at.topic, Partition: at.partition, Code: Code(code)}
	}
	return nil
}

// Commit ends the transaction: its records can be read, and a commit marker stands behind them in each partition.
func (t *Transaction) Commit() error { return t.end(true) }

// Abort ends the transaction: its records stay in the log and are never read, and an abort marker stands behind them.
func (t *Transaction) Abort() error { return t.end(false) }

func (t *Transaction) end(commit bool) error {
	if len(t.sequences) == 0 {
		return nil // the broker knows of no transaction yet
	}
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.Commit = 4, t.id, commit
	req.ProducerID, req.ProducerEpoch = t.producer.id, t.producer.epoch
	resp, err := t.b.askCoordinator(t.id, req)
	if err != nil {
		return err
	}
	return codeError(fmt.Sprintf("end transaction %s", t.id), Code(resp.(*kmsg.EndTxnResponse).ErrorCode))
}
