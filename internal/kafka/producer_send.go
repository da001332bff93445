package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/state"
)

// ackTimeout is how long a broker may wait for its replicas; sarama gives up reading after its Net.ReadTimeout (30 s).
const ackTimeout = 10 * time.Second

// leader is the broker that leads the partition as far as metadata has told.
func (p *Producer) leader(k laneKey) (int32, bool) {
	t, ok := p.client.cached(k.topic)
	if !ok || t.Err != nil || int(k.partition) >= len(t.Partitions) || t.Partitions[k.partition].Leader < 0 {
		return -1, false
	}
	return t.Partitions[k.partition].Leader, true
}

// perform does what a command says.
func (p *Producer) perform(ctx context.Context, c command) event {
	e := event{command: c}
	switch c.kind {
	case cmdInit:
		p.initID(ctx, &e)
	case cmdRefresh:
		var topics []string
		seen := map[string]bool{}
		for _, l := range c.lanes {
			if !seen[l.key.topic] {
				seen[l.key.topic] = true
				topics = append(topics, l.key.topic)
			}
		}
		e.topics, e.err = p.client.Refresh(ctx, topics...)
	case cmdSend:
		p.send(ctx, &e)
	}
	e.ended = ctx.Err() != nil
	return e
}

// initID asks any broker for a producer id. A transactional one would ask its coordinator, with its id.
func (p *Producer) initID(ctx context.Context, e *event) {
	var res *sarama.InitProducerIDResponse
	e.err = p.client.onAny(ctx, ForAdmin, func(b *sarama.Broker) (err error) {
		res, err = b.InitProducerID(&sarama.InitProducerIDRequest{Version: 4, ProducerID: -1, ProducerEpoch: -1, TransactionTimeout: time.Minute})
		return err
	})
	if e.err == nil {
		e.id, e.epoch, e.err = res.ProducerID, res.ProducerEpoch, codeError(res.Err, "InitProducerID", "", -1)
	}
}

func (p *Producer) send(ctx context.Context, e *event) {
	req := p.request(e.lanes)
	e.err = p.client.onNode(ctx, e.node, use{ForProduce, p}, func(b *sarama.Broker) (err error) {
		e.sent = true
		e.answer, err = b.Produce(req)
		return err
	})
	if e.err == nil && e.answer == nil { // the context ended together with the answer
		e.err = errNoAnswer
	}
}

// request puts the lanes' batches into one request. Version 8 brings the broker's own words about a refused record.
func (p *Producer) request(lanes []*lane) *sarama.ProduceRequest {
	req := &sarama.ProduceRequest{Version: 8, RequiredAcks: sarama.WaitForAll, Timeout: int32(min(ackTimeout, p.conf.Timeout).Milliseconds())}
	for _, l := range lanes {
		req.AddBatch(l.key.topic, l.key.partition, l.arena.fill(l.rest[0][:l.n], l.stamp, p.conf.Compression))
	}
	return req
}

func missing(err error) bool {
	var m *state.TopicMissingError
	return errors.As(err, &m)
}
