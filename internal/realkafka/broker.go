package realkafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/tarnstream/tarn/internal/task"
)

// Broker is one broker of a Cluster. Its methods are called from one goroutine at a time.
type Broker struct {
	id    int
	ports ports
	dir   string // server.properties, keys, data, broker.log
	libs  string
	java  []string // options of its Java

	process *process // nil while it does not run
}

// process is a started broker.
type process struct {
	cmd     *exec.Cmd
	log     *os.File
	started *watch
	wait    *task.Group
	gone    chan struct{} // closed when it has ended
}

// quick are options of a Java that starts soon and lets others have the machine's cores.
func quick() []string { return []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"} }

// java are the options of a broker's Java.
func (o Options) java() []string {
	if !o.Fast {
		return append(quick(), "-Xmx512m", "-Xms128m")
	}
	return []string{"-server", "-Xmx1g", "-Xms1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"}
}

// Addr is where clients connect.
func (b *Broker) Addr() string { return fmt.Sprintf("127.0.0.1:%d", b.ports.client) }

// Data is the folder of its logs: one folder a partition, named TOPIC-PARTITION.
func (b *Broker) Data() string { return filepath.Join(b.dir, "data") }

// Log is the file that has what the broker says.
func (b *Broker) Log() string { return filepath.Join(b.dir, "broker.log") }

func (b *Broker) config() string { return filepath.Join(b.dir, "server.properties") }

// Start starts a broker that was stopped or killed, on its data, and returns when it serves.
func (b *Broker) Start(ctx context.Context) error {
	if err := b.launch(); err != nil {
		return err
	}
	return b.await(ctx)
}

func (b *Broker) launch() error {
	if b.process != nil {
		return fmt.Errorf("realkafka: broker %d runs already", b.id)
	}
	log, err := os.OpenFile(b.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	p := &process{log: log, started: &watch{to: log, word: []byte("Kafka Server started"), seen: make(chan struct{})},
		wait: task.New(context.Background()), gone: make(chan struct{})}
	args := slices.Concat(b.java, []string{"-cp", filepath.Join(b.libs, "*"), "kafka.Kafka", b.config()})
	p.cmd = exec.Command("java", args...)
	p.cmd.Stdout, p.cmd.Stderr = p.started, p.started
	p.cmd.SysProcAttr = endWithUs()
	if err := p.cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	p.wait.Go("broker", func(context.Context) error {
		defer close(p.gone)
		return p.cmd.Wait()
	})
	b.process = p
	return nil
}

// startTime bounds how long a broker takes to start. A cluster on a loaded machine takes 20 s.
const startTime = 2 * time.Minute

// await returns when the broker says that it has started.
func (b *Broker) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("not started after %v", startTime))
	defer cancel()
	select {
	case <-b.process.started.seen:
		return nil
	case <-b.process.gone:
		return fmt.Errorf("realkafka: broker %d has ended\n%s", b.id, b.tail())
	case <-ctx.Done():
		return fmt.Errorf("realkafka: broker %d: %w\n%s", b.id, context.Cause(ctx), b.tail())
	}
}

// tail is the end of the broker's log.
func (b *Broker) tail() []byte {
	text, err := os.ReadFile(b.Log())
	if err != nil {
		return nil
	}
	return text[max(0, len(text)-2000):]
}

// Stop lets the broker end by itself (SIGTERM): it gives its partitions away first. It returns when it has ended; where
// ctx ends before that, the broker is killed and the error says so. One that has ended before is an error, with its last words.
func (b *Broker) Stop(ctx context.Context) error {
	if b.process == nil {
		return nil
	}
	if err := b.process.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(fmt.Errorf("realkafka: broker %d: %w\n%s", b.id, err, b.tail()), b.Kill())
	}
	select {
	case <-b.process.gone:
		return b.Kill()
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("realkafka: broker %d does not stop: %w", b.id, context.Cause(ctx)), b.Kill())
	}
}

// Kill ends the broker at once (SIGKILL), as a process that crashes. It returns when it has ended. A broker that does not
// run is left so.
func (b *Broker) Kill() error {
	p := b.process
	if p == nil {
		return nil
	}
	b.process = nil
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var status *exec.ExitError
	if err := p.wait.Wait(); !errors.As(err, &status) && err != nil {
		return errors.Join(err, p.log.Close())
	}
	return p.log.Close()
}

// Gone is closed when the broker that runs now has ended, be it by itself.
func (b *Broker) Gone() <-chan struct{} { return b.process.gone }

// watch hands on what a broker says and closes seen at a word.
type watch struct {
	to   io.Writer
	word []byte
	seen chan struct{}

	mu   sync.Mutex
	last []byte
}

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.word != nil {
		w.last = append(w.last, p...)
		if bytes.Contains(w.last, w.word) {
			close(w.seen)
			w.word, w.last = nil, nil
		} else if n := len(w.last) - len(w.word); n > 0 {
			w.last = w.last[n:]
		}
	}
	return w.to.Write(p)
}
