package realkafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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
}

// Cluster is a set of running brokers.
type Cluster struct {
	dir       string
	temporary bool
	brokers   []*Broker
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
	for i := range of {
		b := &Broker{id: i + 1, port: of[i].client, dir: filepath.Join(c.dir, fmt.Sprintf("broker-%d", i+1)), libs: libs}
		if err := b.write(properties(b.id, of, b.Data(), o.Config)); err != nil {
			return err
		}
		c.brokers = append(c.brokers, b)
	}
	id, err := c.tool(ctx, libs, "random-uuid")
	if err != nil {
		return err
	}
	for _, b := range c.brokers {
		if _, err := c.tool(ctx, libs, "format", "-t", id, "-c", b.config()); err != nil {
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
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, b := range c.brokers {
		addrs = append(addrs, b.Addr())
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
		if found = append(found, port); len(found) == 2*n {
			break
		}
	}
	if len(found) < 2*n {
		return nil, fmt.Errorf("realkafka: no %d free ports in [%d, %d)", 2*n, lowest, highest)
	}
	of := make([]ports, n)
	for i := range of {
		of[i] = ports{found[2*i], found[2*i+1]}
	}
	return of, nil
}
