package processor

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/tarnstream/tarn/internal/kafka"
	worker "github.com/tarnstream/tarn/internal/task"
)

// Client is connections to Kafka that Processors, Views and Emitters of one process share, and CreateTopics and Lag. Make
// it with NewClient, hand it over with its Option, and Close it after those that use it.
//
// All Views of a Client are fetched together: their connections are those of one, however many they are. What must not
// wait for others has connections of its own all the same: the membership, the fetches and the writes of each Processor,
// and the writes of each Emitter.
type Client struct {
	conf  config
	kafka *kafka.Client

	mu     sync.Mutex // guards what follows; never held over I/O
	closed bool
	users  int // of the reader
	reader *kafka.Reader
	group  *worker.Group // the reader runs in it
}

// NewClient checks the options that say how to reach Kafka, all at once, and makes a Client. It starts nothing and
// touches no network: those that use it do.
func NewClient(options ...Option) (*Client, error) {
	conf, err := configure(false, options)
	if err != nil {
		return nil, err
	}
	return newClient(conf, "tarn")
}

func newClient(conf config, id string) (*Client, error) {
	conf.kafka.ClientID = cmp.Or(conf.kafka.ClientID, id)
	client, err := kafka.NewClient(conf.kafka)
	if err != nil {
		return nil, err
	}
	return &Client{conf: conf, kafka: client}, nil
}

// Option has a Processor, View, Emitter, CreateTopics or Lag use the Client. Other options that say how to reach Kafka
// mean nothing beside it.
func (c *Client) Option() Option { return func(conf *config) { conf.client = c } }

// Close closes the connections. What still uses them ends with an error. It is idempotent.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	reader, group := c.reader, c.group
	c.mu.Unlock()
	c.kafka.Close()
	if reader != nil {
		reader.Fail(errClientClosed)
		group.Stop(errClientClosed)
		_ = group.Wait() // its error is that of every cursor
	}
}

var errClientClosed = errors.New("processor: the client is closed")

// connect gives the Client to use, which is the shared one or one of the caller's own, and what the caller does when it
// needs it no more.
func (c *config) connect(id string) (client *Client, done func(), err error) {
	if c.client == nil {
		client, err = newClient(*c, id)
		if err != nil {
			return nil, nil, err
		}
		return client, client.Close, nil
	}
	c.client.mu.Lock()
	defer c.client.mu.Unlock()
	if c.client.closed {
		return nil, nil, errClientClosed
	}
	return c.client, func() {}, nil
}

// read gives the reader that all views share, which runs while there are any. Each brings the bytes that it may hold.
func (c *Client) read(bytes int64) (reader *kafka.Reader, done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errClientClosed
	}
	if c.users == 0 {
		c.reader = c.kafka.NewReader(kafka.ReaderConfig{Bytes: bytes, Logger: c.conf.kafka.Logger})
		c.group = worker.New(context.Background())
		c.group.Go("reader", c.reader.Run)
	} else {
		c.reader.Grow(bytes)
	}
	c.users++
	return c.reader, sync.OnceFunc(func() { c.unread(bytes) }), nil
}

func (c *Client) unread(bytes int64) {
	c.mu.Lock()
	c.users--
	c.reader.Grow(-bytes)
	group, last := c.group, c.users == 0
	c.mu.Unlock()
	if last {
		group.Stop(nil)
		_ = group.Wait() // its error is that of every cursor
	}
}
