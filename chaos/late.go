package main

import (
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/topology"
)

// late is how a group must not do it: outputs are sent by a producer of their own, a second after they were emitted. Their
// inputs are committed by then, so that a process that is killed meanwhile loses them.
type late struct {
	producer sarama.SyncProducer

	mu    sync.Mutex
	kept  []*sarama.ProducerMessage
	tick  *time.Ticker
	ended chan struct{} // closed to end
	gone  chan error
}

const lateBy = time.Second

func newLate(brokers []string) (*late, error) {
	p, err := sarama.NewSyncProducer(brokers, saramaConfig())
	if err != nil {
		return nil, err
	}
	l := &late{producer: p, tick: time.NewTicker(lateBy), ended: make(chan struct{}), gone: make(chan error, 1)}
	go func() { l.gone <- l.run() }()
	return l, nil
}

func (l *late) emit(ctx *topology.Context, s step) error {
	value, err := codec.JSON[step]().Encode(nil, s)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, &sarama.ProducerMessage{Topic: steps.Name(), Key: sarama.StringEncoder(ctx.Key()), Value: sarama.ByteEncoder(value)})
	return nil
}

func (l *late) run() error {
	for {
		select {
		case <-l.tick.C:
			if err := l.send(); err != nil {
				return err
			}
		case <-l.ended:
			return l.send()
		}
	}
}

func (l *late) send() error {
	l.mu.Lock()
	all := l.kept
	l.kept = nil
	l.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	return l.producer.SendMessages(all)
}

// close sends what is left.
func (l *late) close() error {
	l.tick.Stop()
	close(l.ended)
	return errors.Join(<-l.gone, l.producer.Close())
}
