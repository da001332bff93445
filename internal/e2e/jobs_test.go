//go:build kafka

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/inspect"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

var compacted = map[string]string{"cleanup.policy": "compact"}

// processing are the rights of a processor, whichever its guarantee.
var processing = slices.Concat(onTopic("input", read), onTopic("table", read, write, describeConfigs), onTopic("joined", read, describeConfigs),
	onTopic("looked", read, describeConfigs), onTopic("out", write, describeConfigs), onGroup(read))

// filled makes the topics of a processor, the tables' not empty.
func (g *guarded) filled() {
	g.tables()
	g.create("joined", 1, compacted)
	g.create("looked", 1, compacted)
	g.create("out", 1)
	for _, topic := range []string{"table", "joined", "looked"} {
		g.put(topic, "a", "there")
	}
}

// jobs are what docs/security.md lists, in the same words.
var jobs = map[string]job{
	"processor": {
		rights: slices.Concat(processing, onIDs(write)),
		before: (*guarded).filled,
		do:     func(g *guarded) error { return g.processes() },
	},
	"processor at least once": {
		rights: processing,
		before: (*guarded).filled,
		do:     func(g *guarded) error { return g.processes(processor.AtLeastOnce()) },
	},
	"processor that creates its topics": {
		rights: slices.Concat(onTopic("table", create), onTopic("out", create)),
		given:  slices.Concat(processing, onIDs(write)),
		before: func(g *guarded) {
			g.create("input", 1)
			g.create("joined", 1, compacted)
			g.create("looked", 1, compacted)
		},
		do: func(g *guarded) error { return g.processes() },
	},
	"processor with a loop": {
		rights: slices.Concat(onTopic("input", read), onTopic("loop", read, write, describeConfigs), onGroup(read)),
		given:  onIDs(write),
		before: func(g *guarded) { g.create("input", 1); g.create("loop", 1) },
		do:     (*guarded).loops,
	},
	"processor with dead letters": {
		rights: slices.Concat(onTopic("input", read, describeConfigs), onTopic("dead", write, describeConfigs), onGroup(read)),
		given:  onIDs(write),
		before: func(g *guarded) { g.create("input", 1); g.create("dead", 1) },
		do:     (*guarded).buries,
	},
	"view": {
		rights: onTopic("table", read),
		before: func(g *guarded) { g.tables(); g.put("table", "a", "there") },
		do:     func(g *guarded) error { return g.views() },
	},
	"emitter": {
		rights: onTopic("out", write, describeConfigs),
		before: func(g *guarded) { g.create("out", 1) },
		do:     (*guarded).emits,
		names:  map[right]right{onTopic("out", write)[0]: anyTopic},
	},
	"emitter of a user that may write elsewhere": {
		rights: onTopic("out", write),
		given:  slices.Concat(onTopic("out", describeConfigs), onTopic("other", write)),
		before: func(g *guarded) { g.create("out", 1); g.create("other", 1) },
		do:     (*guarded).emits,
	},
	"CreateTopics": {
		rights: onTopic("new", create, describe),
		before: func(*guarded) {},
		do: func(g *guarded) error {
			return processor.CreateTopics(g.Context(), g.options(), topology.NewTable(g.topic("new"), codec.String))
		},
	},
	"Lag": {
		rights: slices.Concat(onTopic("input", describe), onGroup(describe)),
		before: func(g *guarded) { g.create("input", 1) },
		do: func(g *guarded) error {
			input := topology.NewStream(g.topic("input"), codec.String)
			of, err := topology.Define(g.topic("group"), topology.Input(input, func(*topology.Context, string) error { return nil }))
			require.NoError(g, err)
			_, err = processor.Lag(g.Context(), of, g.options()...)
			return err
		},
	},
	"transaction": {
		rights: slices.Concat(onID(write), onTopic("t", write, read), onGroup(read)),
		given:  onGroup(describe), // Kafka asks for Read at once
		before: func(g *guarded) { g.create("t", 1) },
		do:     (*guarded).transacts,
	},
	"tarn state reset": {
		rights: slices.Concat(onGroup(remove), onTopic("table", remove)),
		before: func(g *guarded) {
			g.tables()
			p := startProcessor(g.site, g.dir).current()
			p.stop()
		},
		do: (*guarded).resets,
	},
}

// processes runs a group that keeps a table, reads two, and writes to a stream.
func (g *guarded) processes(options ...processor.Option) error {
	input, out := topology.NewStream(g.topic("input"), codec.String), topology.NewStream(g.topic("out"), codec.String)
	table := topology.NewTable(g.topic("table"), codec.String)
	joined, looked := topology.NewReadTable(g.topic("joined"), codec.String), topology.NewReadTable(g.topic("looked"), codec.String)
	return g.processUntil("out", options, topology.Persist(table), topology.Join(joined), topology.Lookup(looked), topology.Output(out),
		topology.Input(input, func(ctx *topology.Context, value string) error {
			if err := table.Set(ctx, value); err != nil {
				return err
			}
			return out.Emit(ctx, ctx.Key(), value)
		}, policy.OnLost(policy.LostEarliest)))
}

func (g *guarded) loops() error {
	input, loop := topology.NewStream(g.topic("input"), codec.String), topology.NewStream(g.topic("loop"), codec.String)
	came := make(chan struct{}, 1)
	of, err := topology.Define(g.topic("group"), topology.Input(input, func(ctx *topology.Context, value string) error { return loop.Emit(ctx, "b", value) }),
		topology.Loop(loop, func(*topology.Context, string) error { came <- struct{}{}; return nil }))
	require.NoError(g, err)
	p, err := processor.New(of, g.options()...)
	require.NoError(g, err)
	g.put("input", "a", "new")
	return g.run(p.Run, func() bool { return len(came) > 0 })
}

func (g *guarded) buries() error {
	input := topology.NewStream(g.topic("input"), codec.String)
	return g.processUntil("dead", nil, topology.Input(input, func(*topology.Context, string) error { return errors.New("no") },
		policy.OnError(policy.DeadLetter(g.topic("dead")))))
}

// processUntil runs a group until something is in a topic.
func (g *guarded) processUntil(topic string, options []processor.Option, edges ...topology.Edge) error {
	of, err := topology.Define(g.topic("group"), edges...)
	require.NoError(g, err)
	p, err := processor.New(of, g.options(options...)...)
	require.NoError(g, err)
	g.put("input", "b", "new")
	return g.run(p.Run, func() bool {
		end, err := g.client.GetOffset(g.topic(topic), 0, -1)
		return err == nil && end > 0
	})
}

func (g *guarded) views(options ...processor.Option) error {
	v, err := processor.NewView(topology.NewTable(g.topic("table"), codec.String), g.options(options...)...)
	require.NoError(g, err)
	return g.run(v.Run, func() bool {
		value, ok, err := v.Get("a")
		return err == nil && ok && value == "there"
	})
}

func (g *guarded) emits() error {
	e, err := processor.NewEmitter(topology.NewStream(g.topic("out"), codec.String), g.options()...)
	require.NoError(g, err)
	err = e.EmitSync(g.Context(), "a", "new")
	require.NoError(g, e.Close(g.Context()))
	return err
}

func (g *guarded) transacts() error {
	c, err := kafka.NewClient(kafka.Config{Brokers: g.cluster.Secured(), Sarama: g.config()})
	require.NoError(g, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(g.Context(), patience)
	defer cancel()
	w := &writer{site: g.site, Producer: c.NewProducer(kafka.ProducerConfig{TransactionalID: g.topic("id")}), client: c}
	defer w.Producer.Close()
	err = w.Recover(ctx, true)
	if err == nil {
		err = w.write()
	}
	var failed *kafka.TransactionError
	require.True(g, err == nil || errors.As(err, &failed) && failed.Final, "no recovery helps: %v", err)
	return err
}

// inspect gives the state directory's one group and a connection to the brokers as the command makes it.
func (g *guarded) inspect() (*inspect.Kafka, inspect.Group) {
	g.Helper()
	file := filepath.Join(g.TempDir(), "client.properties")
	ca := filepath.Join(g.TempDir(), "ca.pem")
	require.NoError(g, os.WriteFile(ca, g.cluster.Authority(), 0o600))
	text := fmt.Sprintf("security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=%s\nsasl.password=%s\nssl.ca.location=%s\n", g.user, g.password, ca)
	require.NoError(g, os.WriteFile(file, []byte(text), 0o600))
	k, err := inspect.Connect(g.Context(), g.cluster.Secured(), file)
	require.NoError(g, err)
	g.Cleanup(k.Close)
	groups, err := inspect.Look(g.dir)
	require.NoError(g, err)
	require.Len(g, groups, 1)
	return k, groups[0]
}

func (g *guarded) resets() error {
	k, of := g.inspect()
	r, err := inspect.PlanReset(g.Context(), k, of, []string{g.topic("table")})
	if err == nil {
		err = r.Do(g.Context(), k)
	}
	return err
}
