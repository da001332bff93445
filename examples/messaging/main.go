// Command messaging is a message service of five groups: a filter that drops what blocked users send and translates words,
// a collector that keeps everybody's newest messages, a blocker and a translator that keep what the filter reads, and a
// detector that has spammers blocked.
//
//	sent --> filter --> delivered --> collector (feeds)
//	  |       ^   ^          |
//	  |  blocked  dictionary |
//	  |       |   |          |
//	  |  blocker  translator |
//	  |       ^              |
//	  +--> detector <--------+
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	broker, err := devbroker.Start()
	if err != nil {
		return err
	}
	defer broker.Close()
	dir, err := os.MkdirTemp("", "messaging")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	groups, err := define()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts, ctx := errgroup.WithContext(ctx)
	s := &service{groups: groups, parts: parts, options: []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir)}}
	parts.Go(func() error {
		defer stop()
		return s.story(ctx)
	})
	return parts.Wait()
}

// service is the five groups, run in this process.
type service struct {
	groups  groups
	parts   *errgroup.Group
	options []processor.Option
}

// story plays the part of the users.
func (s *service) story(ctx context.Context) error {
	if err := processor.CreateTopics(ctx, s.options, sent, delivered, blocks, words); err != nil {
		return err
	}
	if _, err := s.start(ctx, s.groups.blocker, s.groups.translator); err != nil { // they make the tables that the filter reads
		return err
	}
	if err := send(ctx, s, words, pair[string]{"lol", "I liked that"}); err != nil {
		return err
	}
	if err := send(ctx, s, blocks, pair[bool]{"troll", true}); err != nil {
		return err
	}
	if err := s.settle(ctx, s.groups.translator, s.groups.blocker); err != nil {
		return err
	}
	running, err := s.start(ctx, s.groups.filter, s.groups.collector, s.groups.detector)
	if err != nil {
		return err
	}
	filter, collector := running[0], running[1]
	for _, m := range []message{{"ada", "bob", "lol"}, {"troll", "bob", "you again"}, {"bob", "ada", "thanks"}} {
		if err := send(ctx, s, sent, pair[message]{m.From, m}); err != nil {
			return err
		}
	}
	if err := s.settle(ctx, s.groups.filter, s.groups.collector, s.groups.detector); err != nil {
		return err
	}
	if err := printFeeds(collector, "ada", "bob"); err != nil {
		return err
	}
	return s.spam(ctx, filter)
}

// spam sends messages until the filter knows that the sender is blocked.
func (s *service) spam(ctx context.Context, filter *processor.Processor) error {
	for range spamSent {
		if err := send(ctx, s, sent, pair[message]{"mallory", message{"mallory", "bob", "buy"}}); err != nil {
			return err
		}
	}
	for {
		out, _, err := processor.Get(filter, blocked.ReadOnly(), "mallory")
		if err != nil {
			return err
		}
		if out {
			fmt.Println("mallory is blocked")
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// start runs groups and waits until they are ready.
func (s *service) start(ctx context.Context, groups ...*topology.Group) ([]*processor.Processor, error) {
	var running []*processor.Processor
	for _, g := range groups {
		p, err := processor.New(g, s.options...)
		if err != nil {
			return nil, err
		}
		s.parts.Go(func() error { return p.Run(ctx) })
		running = append(running, p)
	}
	for _, p := range running {
		select {
		case <-p.Ready():
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return running, nil
}

// settle waits until groups, in the order in which records pass through them, have handled all there is.
func (s *service) settle(ctx context.Context, groups ...*topology.Group) error {
	for _, g := range groups {
		for {
			left, err := processor.Lag(ctx, g, s.options...)
			if err != nil {
				return err
			}
			if left == 0 {
				break
			}
			if err := pause(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(20 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pair is a record to write.
type pair[T any] struct {
	key   string
	value T
}

func send[T any](ctx context.Context, s *service, stream *topology.Stream[T], r pair[T]) error {
	emitter, err := processor.NewEmitter(stream, s.options...)
	if err != nil {
		return err
	}
	if err := emitter.Emit(ctx, r.key, r.value); err != nil {
		return err
	}
	return emitter.Close(ctx)
}

// printFeeds prints the users' messages.
func printFeeds(collector *processor.Processor, users ...string) error {
	for _, user := range users {
		feed, _, err := processor.Get(collector, feeds, user)
		if err != nil {
			return err
		}
		for _, m := range feed {
			fmt.Printf("to %s: %s: %s\n", m.To, m.From, m.Text)
		}
	}
	return nil
}
