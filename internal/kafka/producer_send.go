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

// perform does what a command other than a send says.
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
	}
	e.ended = ctx.Err() != nil
	return e
}

// initID asks any broker for a producer id. A transactional producer has its own by Recover.
func (p *Producer) initID(ctx context.Context, e *event) {
	var res *sarama.InitProducerIDResponse
	e.err = p.client.onAny(ctx, ForAdmin, func(b *sarama.Broker) (err error) {
		res, err = b.InitProducerID(&sarama.InitProducerIDRequest{Version: 4, ProducerID: -1, ProducerEpoch: -1, TransactionTimeout: time.Minute})
		return err
	})
	if e.err == nil {
		e.id, e.epoch, e.err = res.ProducerID, res.ProducerEpoch, codeError(res.Err, "InitProducerID", "", -1)
	}
	if e.err == nil {
		p.mu.Lock()
		p.ids = append(p.ids, e.id)
		p.mu.Unlock()
	}
}

// sendAll sends what comes. What waits behind a request that could not go out fails with it: to reach the broker may take
// long, and is tried again when the run says so.
func (p *Producer) sendAll(ctx context.Context, commands <-chan command, events chan<- event) {
	for c := range commands {
		err := p.send(ctx, c, events)
		for behind := len(commands); err != nil && behind > 0; behind-- {
			events <- event{command: <-commands, err: err, ended: ctx.Err() != nil}
		}
	}
}

// send writes a request and returns. Its outcome goes to events once, be it here or by the goroutine that reads answers,
// which must never wait.
func (p *Producer) send(ctx context.Context, c command, events chan<- event) error {
	p.making.Add(int64(c.memory))
	req, used := p.request(c.batches)
	defer func() { // what is sent is encoded by then
		for _, a := range used {
			p.arenas.put(a)
		}
		p.making.Add(-int64(c.memory))
	}()
	sent := false
	err := p.client.pipe(ctx, c.node, use{ForProduce, p}, func(b *sarama.Broker, cut func()) error {
		if p.conf.Allowed != nil && !p.conf.Allowed() {
			return errHeld
		}
		sent = true
		return b.AsyncProduce(req, func(res *sarama.ProduceResponse, err error) {
			if err != nil {
				cut()
			}
			events <- event{command: c, answer: res, err: err, sent: true, ended: ctx.Err() != nil}
		})
	})
	if err != nil {
		events <- event{command: c, err: err, sent: sent, ended: ctx.Err() != nil}
	}
	return err
}

// request puts batches into one request. Version 8 brings the broker's own words about a refused record.
func (p *Producer) request(batches []*batch) (req *sarama.ProduceRequest, used []*arena) {
	req = &sarama.ProduceRequest{Version: 8, RequiredAcks: sarama.WaitForAll, Timeout: int32(min(ackTimeout, p.conf.Timeout).Milliseconds())}
	if p.conf.TransactionalID != "" {
		req.TransactionalID = &p.conf.TransactionalID
	}
	for _, b := range batches {
		a := p.arenas.take()
		used = append(used, a)
		made := a.fill(b.records, b.size, b.stamp)
		made.IsTransactional = req.TransactionalID != nil
		req.AddBatch(b.lane.key.topic, b.lane.key.partition, made)
	}
	return req, used
}

// Held is what the Producer holds now beside what Produce was given.
func (p *Producer) Held() int64 { return p.making.Load() + p.arenas.bytes() }

func missing(err error) bool {
	var m *state.TopicMissingError
	return errors.As(err, &m)
}
