package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
)

// Option sets one thing of a Processor, View, Emitter or CreateTopics. Options that mean nothing to one of them are
// ignored by it.
type Option func(*config)

// Brokers sets the bootstrap addresses, host:port. At least one is needed.
func Brokers(addrs ...string) Option { return func(c *config) { c.kafka.Brokers = addrs } }

// StateDir sets the folder that holds the tables. There is no default: a processor with tables, kept or only read, and a
// View, refuse to start without it, since a folder that a restart loses would cost a full restore each time. A Processor
// removes stores of partitions that others have now; see policy.KeepStores.
func StateDir(dir string, options ...policy.StateOption) Option {
	return func(c *config) {
		c.stateDir, c.state = dir, scope.StatePolicy{}
		for _, o := range options {
			o(&c.state)
		}
	}
}

// Kafka hands over a *sarama.Config, for TLS, SASL and client tuning: its Net, ClientID and MetricRegistry are used,
// Version is raised where it is too low, and other fields that were changed are named in a warning.
func Kafka(conf *kafka.SaramaConfig) Option { return func(c *config) { c.kafka.Sarama = conf } }

// Dial replaces the dialer, for a tunnel or for tests. Whatever error it gives, it is asked again, as for a broker that is
// away.
func Dial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return func(c *config) { c.kafka.Dial = dial }
}

// Logger sets where tarn logs, events of package observe among it. The default is slog.Default().
func Logger(l *slog.Logger) Option { return func(c *config) { c.kafka.Logger = l } }

// CommitInterval sets how often effects are written to Kafka together with the offsets: what a callback emits goes out after half
// of it on average. A shorter one means less latency, and more requests and less to write at a time. The default is 100 ms.
func CommitInterval(d time.Duration) Option { return func(c *config) { c.commitInterval = d } }

// FlushInterval sets how often committed changes are written to disk. After a crash the restore reads at most what was
// committed since. The default is 5 s.
func FlushInterval(d time.Duration) Option { return func(c *config) { c.flushInterval = d } }

// SessionTimeout sets after how long without a heartbeat Kafka gives this member's tasks to others. The default is
// 10 s; the broker bounds it (group.min.session.timeout.ms is 6 s by default).
func SessionTimeout(d time.Duration) Option { return func(c *config) { c.sessionTimeout = d } }

// StartTimeout bounds how long a start waits for a broker; 0 waits as long as the context given to Run, or to the first
// Emit, lives. The default is 30 s.
func StartTimeout(d time.Duration) Option { return func(c *config) { c.startTimeout = d } }

// StopTimeout bounds a clean stop and the handing over of a partition. Past it the state on disk is right, only older. A coordinator that
// does not answer is waited for up to 5 s more, to leave the group. The default is 30 s.
func StopTimeout(d time.Duration) Option { return func(c *config) { c.stopTimeout = d } }

// AtLeastOnce makes a Processor write its effects first and commit its inputs' offsets then, without transactions: after a crash
// records may be handled again, and what they emit and count is there twice. Without it each record counts exactly once
// (KIP-98, KIP-447): changes, outputs and offsets of a commit are one transaction. It costs less latency, and works where the
// broker does not allow transactions.
func AtLeastOnce() Option { return func(c *config) { c.exactlyOnce = false } }

// Inputs sets what holds for every Input and Loop of the group whose own options say nothing else; see package policy.
func Inputs(options ...policy.InputOption) Option {
	return func(c *config) {
		for _, o := range options {
			o(&c.inputs)
		}
	}
}

// Batching sets how an Emitter gathers records, how much it holds and how long it tries: see policy.Batching.
func Batching(b policy.Batching) Option { return func(c *config) { c.batching = b } }

// RecreateTables allows a table's topic that is missing to be created although the group has committed offsets or state
// on disk: the table then starts empty. Without it that is a *MissingTableError.
func RecreateTables() Option { return func(c *config) { c.recreate = true } }

// AwaitTopics makes a start wait for topics of inputs, of joined and of looked-up tables that are missing, for as long as
// Run's context lives, and say so in the log. Without it a missing one ends Run with a *TopicsError. A View waits for its
// topic at the start, and also when it is deleted later: reads that allow it are then answered from before. An Emitter waits
// with its first Emit.
func AwaitTopics() Option { return func(c *config) { c.awaitTopics = true } }

// ViewName sets the folder of a view below StateDir/views. The default is the table's name. Two views of one table on
// one state directory need two names.
func ViewName(name string) Option { return func(c *config) { c.viewName = name } }

type config struct {
	kafka          kafka.Config
	client         *Client // shared with others, nil for none
	stateDir       string
	state          scope.StatePolicy
	viewName       string
	commitInterval time.Duration
	flushInterval  time.Duration
	sessionTimeout time.Duration
	startTimeout   time.Duration
	stopTimeout    time.Duration
	memory         int64 // 0: the default
	recreate       bool
	exactlyOnce    bool
	awaitTopics    bool
	batching       policy.Batching
	inputs         scope.Input        // what Inputs said
	observers      []observe.Observer // the user's
	observe        observe.Observer   // the log and all of them
	fs             ldb.FS             // what tables are kept on; nil: the disk
}

// starting bounds a start.
func (c *config) starting(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.startTimeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.startTimeout)
}

// configure applies options to the defaults and reports all faults at once.
func configure(needDir bool, options []Option) (config, error) {
	c := config{commitInterval: 100 * time.Millisecond, flushInterval: 5 * time.Second, sessionTimeout: 10 * time.Second,
		startTimeout: 30 * time.Second, stopTimeout: 30 * time.Second, exactlyOnce: true}
	for _, o := range options {
		o(&c)
	}
	if c.kafka.Logger == nil {
		c.kafka.Logger = slog.Default()
	}
	c.observe = c.watched()
	c.fs, _ = c.state.Disk.(ldb.FS)
	return c, c.check(needDir)
}

func (c *config) check(needDir bool) error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("processor: "+format, args...))
		}
	}
	fault(len(c.kafka.Brokers) == 0 && c.client == nil, "no broker given: use processor.Brokers")
	fault(needDir && c.stateDir == "", "no state directory given: use processor.StateDir")
	fault(c.commitInterval <= 0, "commit interval %v is not positive", c.commitInterval)
	fault(c.flushInterval <= 0, "flush interval %v is not positive", c.flushInterval)
	fault(c.sessionTimeout <= 0, "session timeout %v is not positive", c.sessionTimeout)
	fault(c.startTimeout < 0, "start timeout %v is negative", c.startTimeout)
	fault(c.stopTimeout <= 0, "stop timeout %v is not positive", c.stopTimeout)
	batching, err := c.batching.WithDefaults()
	c.batching = batching
	fault(err != nil, "%w", err)
	fault(c.memory < 0, "memory of %d bytes is negative", c.memory)
	fault(c.inputs.OnDelete != nil, "Inputs: OnDelete belongs to one input")
	for _, f := range c.state.Faults {
		fault(true, "StateDir: %s", f)
	}
	for _, f := range c.inputs.Faults {
		fault(true, "Inputs: %s", f)
	}
	return errors.Join(faults...)
}
