package workload

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	gokacodec "github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"
)

// GokaSettings says how goka is set up: as its documentation does, with what a table that matters needs.
const GokaSettings = "goka.DefaultConfig (snappy, flush at 64 KiB or 100 ms, 1 s auto-commit), Version 2.8, acks=all, " +
	"initial offset oldest; storage.DefaultBuilder; topic replication 1"

func gokaConfig() *sarama.Config {
	c := goka.DefaultConfig()
	c.Version = sarama.V2_8_0_0
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Producer.RequiredAcks = sarama.WaitForAll
	goka.ReplaceGlobalConfig(c)
	return c
}

func gokaTopics(c *sarama.Config) goka.TopicManagerBuilder {
	t := goka.NewTopicManagerConfig()
	t.Table.Replication, t.Stream.Replication = 1, 1
	return goka.TopicManagerBuilderWithConfig(c, t)
}

// silent is a goka.Logger: what goes wrong, Run returns.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Println(...any)        {}
func (silent) Printf(string, ...any) {}

func gokaCount(ctx context.Context, j Job) (out Outcome, err error) {
	c := newClock(j.Records)
	return gokaHandle(ctx, j, c, gokaCounting(j, c.tick)...)
}

func gokaCounting(j Job, tick func()) []goka.Edge {
	return []goka.Edge{goka.Persist(new(gokacodec.Int64)),
		goka.Input(goka.Stream(j.Topic), new(gokacodec.Bytes), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
			tick()
		})}
}

// gokaPass counts each record as gokaCount does, and hands it on.
func gokaPass(ctx context.Context, j Job) (out Outcome, err error) {
	c, passed := newClock(j.Records), goka.Stream(OutputOf(j.Group))
	return gokaHandle(ctx, j, c, goka.Persist(new(gokacodec.Int64)), goka.Output(passed, new(gokacodec.Bytes)),
		goka.Input(goka.Stream(j.Topic), new(gokacodec.Bytes), func(ctx goka.Context, v any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
			ctx.Emit(passed, ctx.Key(), v)
			c.tick()
		}))
}

// gokaRestart counts until ctx ends.
func gokaRestart(ctx context.Context, j Job) (out Outcome, err error) {
	first := newFirst(j)
	p, err := gokaProcessor(j, gokaCounting(j, first.tick)...)
	if err != nil {
		return out, err
	}
	if err := p.Run(ctx); err != nil {
		return out, err
	}
	out.Seconds, out.Peak, out.Restored = first.seconds(), PeakMemory(), -1
	return out, nil
}

func gokaMap(ctx context.Context, j Job) (out Outcome, err error) {
	c, kept := newClock(j.Records), goka.Stream(OutputOf(j.Group))
	return gokaHandle(ctx, j, c, goka.Output(kept, new(gokacodec.Bytes)),
		goka.Input(goka.Stream(j.Topic), new(gokacodec.Bytes), func(ctx goka.Context, v any) {
			out, ok, err := mapped(v.([]byte))
			if err != nil {
				ctx.Fail(err)
			}
			if ok {
				ctx.Emit(kept, ctx.Key(), out)
			}
			c.tick()
		}))
}

// gokaHandle ends its time with the last record handled: unlike tarn's, its last effects and offsets may still be on their way.
func gokaHandle(ctx context.Context, j Job, c *clock, edges ...goka.Edge) (out Outcome, err error) {
	p, err := gokaProcessor(j, edges...)
	if err != nil {
		return out, err
	}
	stop, ended := start(ctx, p.Run)
	if err := c.wait(ctx, ended); err != nil {
		return out, err
	}
	c.stop(&out)
	return out, stop()
}

func gokaProcessor(j Job, edges ...goka.Edge) (*goka.Processor, error) {
	config := gokaConfig()
	return goka.NewProcessor(j.Brokers, goka.DefineGroup(goka.Group(j.Group), edges...), goka.WithStorageBuilder(storage.DefaultBuilder(j.Dir)),
		goka.WithTopicManagerBuilder(gokaTopics(config)), goka.WithLogger(silent{}))
}

func gokaCountOf(data []byte) (int64, error) {
	v, err := new(gokacodec.Int64).Decode(data)
	n, _ := v.(int64)
	return n, err
}

// gokaRestore ends when a View runs.
func gokaRestore(ctx context.Context, j Job) (out Outcome, err error) {
	began := time.Now()
	err = gokaView(ctx, j, func(view *goka.View) error {
		out.Seconds, out.Peak = time.Since(began).Seconds(), PeakMemory()
		it, err := view.Iterator()
		if err != nil {
			return err
		}
		defer it.Release()
		for it.Next() {
			v, err := it.Value()
			if err == nil {
				err = out.add(v.([]byte))
			}
			if err != nil {
				return err
			}
		}
		return it.Err()
	})
	return out, err
}

func gokaLookup(ctx context.Context, j Job) (out Outcome, err error) {
	err = gokaView(ctx, j, func(view *goka.View) error {
		out, err = lookUp(ctx, j, func(key string) ([]byte, bool, error) {
			v, err := view.Get(key)
			value, ok := v.([]byte)
			return value, ok, err
		})
		return err
	})
	return out, err
}

// gokaView has a View that runs used.
func gokaView(ctx context.Context, j Job, use func(*goka.View) error) error {
	view, err := goka.NewView(j.Brokers, goka.Table(j.Topic), new(gokacodec.Bytes), goka.WithViewStorageBuilder(storage.DefaultBuilder(j.Dir)),
		goka.WithViewTopicManagerBuilder(gokaTopics(gokaConfig())), goka.WithViewLogger(silent{}))
	if err != nil {
		return err
	}
	stop, ended := start(ctx, view.Run)
	select {
	case <-view.WaitRunning():
	case err := <-ended:
		return err
	}
	return errors.Join(use(view), stop())
}
