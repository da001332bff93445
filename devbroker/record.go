package devbroker

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Produce appends records to a partition as one batch, acknowledged when it returns.
func (b *Broker) Produce(topic string, partition int32, records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	return b.write(place{topic, partition}, anonymous, records)
}

func (b *Broker) write(at place, p producer, records []Record) error {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis, req.TransactionID = 9, -1, 5000, p.txn
	t := kmsg.NewProduceRequestTopic()
	t.Topic = at.topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = at.partition, newBatch(p, records, time.Now())
	t.Partitions = append(t.Partitions, rp)
	req.Topics = append(req.Topics, t)
	resp, err := b.askLeader(at.topic, at.partition, req)
	if err != nil {
		return err
	}
	if code := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
		return &Error{Op: "produce", Topic: at.topic, Partition: at.partition, Code: Code(code)}
	}
	return nil
}

// Records gives the committed records of a partition from its log start to its last stable offset, in order.
func (b *Broker) Records(topic string, partition int32) ([]Record, error) {
	bounds, err := b.Bounds(topic, partition)
	if err != nil {
		return nil, err
	}
	in, err := b.inner(bounds.Leader)
	if err != nil {
		return nil, err
	}
	defer in.conn.Close()
	l := log{topic: topic, partition: partition, position: bounds.Start, aborting: map[int64]bool{}}
	for l.position < bounds.Stable {
		before := l.position
		if err := l.read(in, &b.hollow); err != nil {
			return nil, err
		}
		if l.position == before {
			break // the log shrank meanwhile
		}
	}
	return l.records, nil
}

// Fold gives the newest committed value of every key of a partition; a tombstone removes its key.
func (b *Broker) Fold(topic string, partition int32) (map[string][]byte, error) {
	records, err := b.Records(topic, partition)
	if err != nil {
		return nil, err
	}
	fold := map[string][]byte{}
	for _, r := range records {
		switch {
		case r.Key == nil:
		case r.Value == nil:
			delete(fold, string(r.Key))
		default:
			fold[string(r.Key)] = r.Value
		}
	}
	return fold, nil
}

// A log is a partition being read, read_committed.
type log struct {
	topic     string
	partition int32
	position  int64
	aborting  map[int64]bool // producers whose next records were aborted
	records   []Record
}

func (l *log) read(in *inner, h *hollow) error {
	resp, err := in.ask(l.request())
	if err != nil {
		return err
	}
	p := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return &Error{Op: "fetch", Topic: l.topic, Partition: l.partition, Code: Code(p.ErrorCode)}
	}
	p.RecordBatches = h.hide(l.topic, l.partition, p.RecordBatches)
	for raw := p.RecordBatches; ; {
		batch, _, rest, ok := nextBatch(raw)
		if !ok {
			return nil
		}
		raw = rest
		if err := l.add(batch, p.AbortedTransactions); err != nil {
			return err
		}
	}
}

func (l *log) request() *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.IsolationLevel, req.MaxBytes, req.SessionEpoch = 12, 1, 32<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = l.topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = l.partition, l.position, 32<<20
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func (l *log) add(batch kmsg.RecordBatch, aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) error {
	from, next := l.position, batch.FirstOffset+int64(batch.LastOffsetDelta)+1
	l.position = max(from, next)
	if batch.Attributes&attrControl != 0 {
		delete(l.aborting, batch.ProducerID)
		return nil
	}
	for _, a := range aborted {
		if a.FirstOffset == batch.FirstOffset {
			l.aborting[a.ProducerID] = true
		}
	}
	if batch.Attributes&attrTransactional != 0 && l.aborting[batch.ProducerID] {
		return nil
	}
	records, err := openBatch(batch)
	for _, r := range records {
		if r.Offset >= from {
			l.records = append(l.records, r)
		}
	}
	return err
}
