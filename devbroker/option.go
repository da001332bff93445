package devbroker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// An Option changes how Start makes a broker. Without any it is one node on a free port of 127.0.0.1, with its data
// in memory.
type Option func(*config)

type config struct {
	dir        string
	port       int
	nodes      int
	virtual    bool
	logger     *slog.Logger
	tls        *tls.Config
	users      []user
	maxMessage int
	minSession time.Duration
	relaxed    bool
}

type user struct{ mechanism, name, password string }

// Dir keeps the data in a folder, made where missing, that one broker at a time may use. Every acknowledged record is
// synced to disk first. A transaction that a kill has cut off is aborted at the next start. One that was being committed in
// that very moment, which takes a sync for each of its partitions and offsets (less with Relaxed), may be there in part.
func Dir(path string) Option { return func(c *config) { c.dir = path } }

// Relaxed leaves the syncing of a Dir to the operating system: several times faster, and still safe against a kill of
// the process, but not against a loss of power.
func Relaxed() Option { return func(c *config) { c.relaxed = true } }

// Port chooses the port of node 0 on 127.0.0.1; further nodes take the ports that follow. 0, the default, takes free ones.
func Port(n int) Option { return func(c *config) { c.port = n } }

// Brokers sets the number of nodes, numbered from 0. The default is 1.
func Brokers(n int) Option { return func(c *config) { c.nodes = n } }

// Virtual replaces the network by one inside the process, for testing/synctest; see Broker.Dialer.
func Virtual() Option { return func(c *config) { c.virtual = true } }

// Logger receives the broker's own log. The default is none.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// TLS makes the nodes speak TLS with the given server configuration.
func TLS(t *tls.Config) Option { return func(c *config) { c.tls = t } }

// SASL demands authentication and adds a user. The mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. The option may be
// given several times. With Dir, users are stored there in the clear.
func SASL(mechanism, name, password string) Option {
	return func(c *config) { c.users = append(c.users, user{mechanism, name, password}) }
}

// MaxMessageBytes is the largest record batch the broker takes, in bytes. The default is Kafka's, 1048588.
func MaxMessageBytes(n int) Option { return func(c *config) { c.maxMessage = n } }

// GroupMinSession is the shortest session time-out a group member may ask for. The default is Kafka's, 6 seconds.
func GroupMinSession(d time.Duration) Option { return func(c *config) { c.minSession = d } }

func newConfig(opts []Option) (config, error) {
	c := config{nodes: 1}
	for _, o := range opts {
		o(&c)
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	return c, c.check()
}

func (c *config) check() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("devbroker: "+format, args...))
		}
	}
	fault(c.nodes < 1, "Brokers(%d): at least 1", c.nodes)
	fault(c.port < 0 || c.port+max(c.nodes, 1)-1 > 65535, "Port(%d): not a port, or too few above it", c.port)
	fault(c.maxMessage < 0, "MaxMessageBytes(%d): not negative", c.maxMessage)
	fault(c.minSession < 0, "GroupMinSession(%s): not negative", c.minSession)
	mechanisms := []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
	for _, u := range c.users {
		fault(!slices.Contains(mechanisms, u.mechanism), "SASL mechanism %q: one of %v", u.mechanism, mechanisms)
		fault(u.name == "", "SASL: a user without a name")
	}
	return errors.Join(faults...)
}
