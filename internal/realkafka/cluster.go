package realkafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Options say what Start starts. The zero value is one broker of the newest version.
type Options struct {
	// Brokers is 1 by default.
	Brokers int
	// Version is Newest by default.
	Version string
	// Dir keeps data and logs; by default a temporary folder, which Close removes.
	Dir string
	// Config is added to every broker's server.properties, over the defaults.
	Config map[string]string
	// Fast gives a broker's Java the options of Kafka's own start script, for benchmarks. By default it has those with which it
	// starts soon, has little memory and never becomes fast.
	Fast bool
	// Security adds TLS, SASL and rights. By default there are none.
	Security *Security
}

// Cluster is a set of running brokers.
type Cluster struct {
	dir       string
	temporary bool
	brokers   []*Broker
	authority *authority // nil without Security
}

// Start brings Kafka's jars where they are not there yet, starts the brokers, and returns when all of them serve.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if err := Missing(); err != nil {
		return nil, err
	}
	libs, err := jars(ctx, cmp.Or(o.Version, Newest))
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: o.Dir, temporary: o.Dir == ""}
	if c.temporary {
		if c.dir, err = os.MkdirTemp("", "tarn-kafka-"); err != nil {
			return nil, err
		}
	}
	if err := c.start(ctx, libs, o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, libs string, o Options) error {
	of, err := freePorts(max(o.Brokers, 1))
	if err != nil {
		return err
	}
	if o.Security != nil {
		if c.authority, err = newAuthority(); err != nil {
			return err
		}
	}
	for i := range of {
		b := &Broker{id: i + 1, ports: of[i], dir: filepath.Join(c.dir, fmt.Sprintf("broker-%d", i+1)), libs: libs, java: o.java()}
		c.brokers = append(c.brokers, b)
		if err := c.configure(b, of, o); err != nil {
			return err
		}
	}
	id, err := c.tool(ctx, libs, "random-uuid")
	if err != nil {
		return err
	}
	format := []string{"format", "-t", id}
	if o.Security != nil {
		format = append(format, o.Security.credentials()...)
	}
	for _, b := range c.brokers {
		if _, err := c.tool(ctx, libs, append(slices.Clone(format), "-c", b.config())...); err != nil {
			return err
		}
		if err := b.launch(); err != nil {
			return err
		}
	}
	for _, b := range c.brokers {
		if err := b.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// configure writes what a broker reads at its start.
func (c *Cluster) configure(b *Broker, of []ports, o Options) error {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	extra := map[string]string{}
	if o.Security != nil {
		if err := c.authority.writeKeys(b.dir); err != nil {
			return err
		}
		extra = o.Security.properties(b.ports, b.dir)
	}
	maps.Copy(extra, o.Config)
	return os.WriteFile(b.config(), []byte(properties(b.id, of, b.Data(), extra)), 0o644)
}

// tool runs Kafka's storage tool.
func (c *Cluster) tool(ctx context.Context, libs string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "java", append(append(quick(), "-cp", filepath.Join(libs, "*"), "kafka.tools.StorageTool"), args...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("realkafka: StorageTool %s: %w\n%s%s", args[0], err, out, errs.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// Addrs are the brokers' addresses, in the order of their ids, also of those that do not run.
func (c *Cluster) Addrs() []string { return c.addrs(func(p ports) int { return p.client }) }

func (c *Cluster) addrs(port func(ports) int) []string {
	var addrs []string
	for _, b := range c.brokers {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", port(b.ports)))
	}
	return addrs
}

// Broker is the one with id, counted from 1.
func (c *Cluster) Broker(id int) *Broker { return c.brokers[id-1] }

// Close kills all brokers, and removes the folder if Start made it.
func (c *Cluster) Close() error {
	var errs []error
	for _, b := range c.brokers {
		errs = append(errs, b.Kill())
	}
	if c.temporary {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// freePorts finds ports for n brokers. They lie below those that the system gives to outgoing connections: else one of
// those could take the port of a broker that is down for a moment.
func freePorts(n int) ([]ports, error) {
	const lowest, highest = 20_000, 32_000
	var found []int
	for range 1000 {
		port := lowest + rand.IntN(highest-lowest)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer l.Close() // all are held until all are found, or one could be found twice
		if found = append(found, port); len(found) == 4*n {
			break
		}
	}
	if len(found) < 4*n {
		return nil, fmt.Errorf("realkafka: no %d free ports in [%d, %d)", 4*n, lowest, highest)
	}
	of := make([]ports, n)
	for i := range of {
		at := found[4*i:]
		of[i] = ports{client: at[0], controller: at[1], secured: at[2], expired: at[3]}
	}
	return of, nil
}
