// Command sessions keeps the sessions of a site in a table and removes those that have gone quiet: a visit to every row,
// while requests go on.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

type session struct {
	Requests int       `json:"requests"`
	Last     time.Time `json:"last"`
}

// quiet is after how long without a request a session has ended.
const quiet = 30 * time.Minute

var (
	requests = topology.NewStream("requests", codec.JSON[time.Time](), topology.Partitions(4)) // the time of each, by user
	sessions = topology.NewTable("sessions", codec.JSON[session]())
	ended    = topology.NewStream("sessions-ended", codec.JSON[session]())
)

// site is the group, with the clock that its visits go by: a program's would be the wall's.
type site struct {
	group *topology.Group
	now   atomic.Pointer[time.Time]
}

func onRequest(ctx *topology.Context, at time.Time) error {
	v, _, err := sessions.Get(ctx)
	if err != nil {
		return err
	}
	v.Requests++
	v.Last = at
	return sessions.Set(ctx, v)
}

func (s *site) expire(ctx *topology.Context, user string, v session) error {
	if s.now.Load().Sub(v.Last) < quiet {
		return nil
	}
	if err := ended.Emit(ctx, user, v); err != nil {
		return err
	}
	return sessions.Delete(ctx)
}

func newSite() (*site, error) {
	s := new(site)
	var err error
	s.group, err = topology.Define("sessions", topology.Input(requests, onRequest), topology.Persist(sessions),
		topology.Output(ended), topology.Visit("expire", sessions, s.expire))
	return s, err
}

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
	dir, err := os.MkdirTemp("", "sessions")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir)}
	if err := processor.CreateTopics(ctx, options, requests); err != nil {
		return err
	}
	s, err := newSite()
	if err != nil {
		return err
	}
	p, err := processor.New(s.group, options...)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return p.Run(ctx) })
	parts.Go(func() error {
		defer stop()
		return s.day(ctx, p, options)
	})
	return parts.Wait()
}

// day lets users come and go, and expires their sessions now and then.
func (s *site) day(ctx context.Context, p *processor.Processor, options []processor.Option) error {
	morning := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for _, hour := range [][]string{{"ada", "bob"}, {"bob", "eve"}, {}} {
		if err := request(ctx, options, morning, hour...); err != nil {
			return err
		}
		if err := s.drained(ctx, p, options); err != nil {
			return err
		}
		evening := morning.Add(20 * time.Minute)
		s.now.Store(&evening)
		visited, err := p.Visit(ctx, "expire")
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d sessions visited, open:", evening.Format("15:04"), visited)
		for _, user := range []string{"ada", "bob", "eve"} {
			if v, ok, err := processor.Get(p, sessions, user); err != nil {
				return err
			} else if ok {
				fmt.Printf(" %s (%d)", user, v.Requests)
			}
		}
		fmt.Println()
		morning = morning.Add(40 * time.Minute)
	}
	return nil
}

func request(ctx context.Context, options []processor.Option, at time.Time, users ...string) error {
	emitter, err := processor.NewEmitter(requests, options...)
	if err != nil {
		return err
	}
	for _, user := range users {
		if err := emitter.Emit(ctx, user, at); err != nil {
			return err
		}
	}
	return emitter.Close(ctx)
}

// drained waits until every request is counted.
func (s *site) drained(ctx context.Context, p *processor.Processor, options []processor.Option) error {
	select {
	case <-p.Ready():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for left := int64(1); left > 0; time.Sleep(20 * time.Millisecond) {
		var err error
		if left, err = processor.Lag(ctx, s.group, options...); err != nil {
			return err
		}
	}
	return nil
}
