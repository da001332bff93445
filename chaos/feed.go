package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/codec"
)

// feed sends numbered inputs, each once.
type feed struct {
	site   *site
	ledger *ledger
	rate   int
	keys   []string // shuffled for each round: a load has a key once
	rand   *rand.Rand
	at     int

	producer sarama.SyncProducer
}

const loads = 20 // a second

// run feeds until ctx ends; what is begun is sent.
func (f *feed) run(ctx context.Context) (err error) {
	if err := f.connect(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.producer.Close()) }()
	tick := time.NewTicker(time.Second / loads)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-tick.C:
			due := int(time.Since(last).Seconds() * float64(f.rate)) // what a slow load held up, too
			last = time.Now()
			if err := f.send(context.WithoutCancel(ctx), f.draw(due)); err != nil {
				return fmt.Errorf("feed: %w", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *feed) connect() (err error) {
	f.producer, err = sarama.NewSyncProducer(f.site.cluster.Addrs(), saramaConfig())
	return err
}

// draw gives the next load, of n inputs at most.
func (f *feed) draw(n int) []*sarama.ProducerMessage {
	var load []*sarama.ProducerMessage
	for range min(len(f.keys), max(1, n)) {
		if f.at == 0 {
			if len(load) > 0 {
				break // the next round may have a key of this load
			}
			f.rand.Shuffle(len(f.keys), func(i, j int) { f.keys[i], f.keys[j] = f.keys[j], f.keys[i] })
		}
		key := f.keys[f.at]
		f.at = (f.at + 1) % len(f.keys)
		load = append(load, f.message(key, f.ledger.next(key)))
	}
	return load
}

func (f *feed) message(key string, n int64) *sarama.ProducerMessage {
	value, _ := codec.Int64.Encode(nil, n)
	return &sarama.ProducerMessage{Topic: numbers.Name(), Key: sarama.StringEncoder(key), Value: sarama.ByteEncoder(value), Metadata: n}
}

// send sends a load. What the producer gives up is sent again by a new one, once it is known not to be there.
func (f *feed) send(ctx context.Context, load []*sarama.ProducerMessage) error {
	for {
		var failed sarama.ProducerErrors
		err := f.producer.SendMessages(load)
		if err == nil || !errors.As(err, &failed) {
			return err
		}
		_ = f.producer.Close() // it has told its errors
		if err := f.site.whole(ctx); err != nil {
			return err
		}
		if load, err = f.missing(ctx, failed); err != nil || len(load) == 0 {
			return errors.Join(err, f.connect())
		}
		if err := f.connect(); err != nil {
			return err
		}
	}
}

// missing gives what of a failed load is not in the input, of which the ledger has read all that is there now.
func (f *feed) missing(ctx context.Context, failed sarama.ProducerErrors) ([]*sarama.ProducerMessage, error) {
	if err := persist(ctx, f.allRead); err != nil {
		return nil, err
	}
	var load []*sarama.ProducerMessage
	for _, e := range failed {
		key, err := e.Msg.Key.Encode()
		if err != nil {
			return nil, err
		}
		if n := e.Msg.Metadata.(int64); !f.ledger.arrived(string(key), n) {
			load = append(load, f.message(string(key), n))
		}
	}
	return load, nil
}

// allRead is an error while the ledger has not read the input's records.
func (f *feed) allRead() error {
	partitions, err := f.site.client.Partitions(numbers.Name())
	if err != nil {
		return err
	}
	for _, p := range partitions {
		end, err := f.site.client.GetOffset(numbers.Name(), p, sarama.OffsetNewest)
		if err != nil {
			return err
		}
		if at := f.ledger.position(p); at < end {
			return fmt.Errorf("%s/%d is read to %d of %d", numbers.Name(), p, at, end)
		}
	}
	return nil
}
