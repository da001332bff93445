package processor_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
)

// These run in real time, over TCP: what they show is how long something takes, or a connection as a user has it.

// runReal runs the click counter until stop, and waits until it is ready.
func runReal(t *testing.T, options ...processor.Option) (p *processor.Processor, stop func() error) {
	t.Helper()
	p, err := processor.New(clicker(t), options...)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	select {
	case <-p.Ready():
	case err := <-done:
		require.NoError(t, err)
	}
	return p, func() error { cancel(); return <-done }
}

// clickReal emits one click of each key and waits until all are counted.
func clickReal(t *testing.T, keys []string, options ...processor.Option) {
	t.Helper()
	e, err := processor.NewEmitter(clicks, options...)
	require.NoError(t, err)
	for _, key := range keys {
		require.NoError(t, e.Emit(t.Context(), key, "x"))
	}
	require.NoError(t, e.Close(t.Context()))
	for lag := int64(1); lag > 0; {
		lag, err = processor.Lag(t.Context(), clicker(t), options...)
		require.NoError(t, err)
	}
}

func TestRestart_IntactStateOf100000Keys(t *testing.T) {
	b, err := devbroker.Start()
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, b.CreateTopic("clicks", 4, nil))
	options := []processor.Option{processor.Brokers(b.Addrs()...), processor.StateDir(t.TempDir()),
		processor.Logger(slog.New(slog.DiscardHandler))}
	_, stop := runReal(t, options...)
	keys := users(100_000)
	clickReal(t, keys, options...)
	require.NoError(t, stop())

	started := time.Now()
	p, stop := runReal(t, options...)
	fmt.Printf("restart on 100,000 keys in 4 partitions: %d records applied, ready in %v\n", p.Stats().Restored, time.Since(started).Round(time.Millisecond))
	require.Zero(t, p.Stats().Restored)
	n, ok, err := processor.Get(p, counts, keys[99_999])
	require.NoError(t, err)
	require.True(t, ok)
	require.EqualValues(t, 1, n)
	require.NoError(t, stop())
}

// Every part of the API reaches a broker that wants a password, by the user's own sarama config.
func TestKafka_SASLByTheUsersConfig(t *testing.T) {
	b, err := devbroker.Start(devbroker.SASL("PLAIN", "ann", "secret"))
	require.NoError(t, err)
	defer b.Close()
	with := func(password string) []processor.Option {
		conf := sarama.NewConfig()
		conf.MetricRegistry = nil
		conf.Net.SASL.Enable, conf.Net.SASL.Mechanism = true, sarama.SASLTypePlaintext
		conf.Net.SASL.User, conf.Net.SASL.Password = "ann", password
		return []processor.Option{processor.Brokers(b.Addrs()...), processor.StateDir(t.TempDir()), processor.Kafka(conf),
			processor.Logger(slog.New(slog.DiscardHandler))}
	}
	require.NoError(t, processor.CreateTopics(t.Context(), with("secret"), clicks))
	_, stop := runReal(t, with("secret")...)
	clickReal(t, users(5), with("secret")...)
	require.NoError(t, stop())

	p, err := processor.New(clicker(t), append(with("wrong"), processor.StartTimeout(time.Second))...)
	require.NoError(t, err)
	require.ErrorContains(t, p.Run(t.Context()), `SASL PLAIN of user "ann"`)
}
