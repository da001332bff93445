package streamtest

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tarnstream/tarn/processor"
)

// Instance is one running processor of a Kit.
type Instance struct {
	// Processor is the instance itself, for Stats and reads.
	Processor *processor.Processor

	name   string
	kit    *Kit
	line   *line
	cancel context.CancelFunc
	done   chan struct{}
	err    error
	failed bool // its error was looked at
}

// Stop stops the instance cleanly and gives Run's error.
func (i *Instance) Stop() error {
	i.cancel()
	<-i.done
	return i.err
}

// StopFailing is Stop for a stop that is expected to fail.
func (i *Instance) StopFailing() error {
	i.failed = true
	return i.Stop()
}

// Wait waits until Run returns by itself and gives its error; a run that goes on for an hour of virtual time fails the
// test.
func (i *Instance) Wait() error {
	i.kit.T.Helper()
	i.failed = true
	select {
	case <-i.done:
	case <-time.After(time.Hour):
		i.kit.T.Fatalf("instance %s still runs after an hour of virtual time: %s", i.name, i.Processor.Stats())
	}
	return i.err
}

// Crash ends the instance as kill -9 would: nothing more reaches Kafka, and its state is what was on disk at that moment.
// The state folder can be started on again.
func (i *Instance) Crash() {
	i.kit.T.Helper()
	i.failed = true
	i.line.cut()
	dir := filepath.Join(i.kit.Dir, i.name)
	image := filepath.Join(i.kit.T.TempDir(), "image")
	copyTree(i, dir, image)
	i.cancel()
	<-i.done
	removeTables(i, dir)
	copyTree(i, image, dir)
}

// Running counts the tasks of the instance that handle records.
func (i *Instance) Running() int {
	n := 0
	for _, state := range i.Processor.Stats().Tasks {
		if state == "running" {
			n++
		}
	}
	return n
}

// Disconnect cuts the instance off from the broker; Connect lets it back.
func (i *Instance) Disconnect() { i.line.cut() }

// Connect ends a Disconnect.
func (i *Instance) Connect() { i.line.mend() }

// keeps tells files that belong to the folder, not to its tables: they stay as they are over a crash.
func keeps(name string) bool { return name == "LOCK" || name == "INSTANCE" }

func copyTree(i *Instance, from, to string) {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if filepath.Base(to) != "image" && keeps(d.Name()) && len(filepath.SplitList(rel)) > 0 && isTop(rel) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
	if err != nil {
		i.kit.T.Fatalf("copy the state of %s: %v", i.name, err)
	}
}

// isTop tells files at <kind>/<name>/file: the lock and the identity of the folder.
func isTop(rel string) bool { return filepath.Dir(filepath.Dir(filepath.Dir(rel))) == "." }

func removeTables(i *Instance, dir string) {
	tables, err := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	for _, t := range tables {
		if !keeps(filepath.Base(t)) && err == nil {
			err = os.RemoveAll(t)
		}
	}
	if err != nil {
		i.kit.T.Fatalf("remove the state of %s: %v", i.name, err)
	}
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// line is an instance's network, which can be cut.
type line struct {
	through dialFunc

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func newLine(through dialFunc) *line { return &line{through: through} }

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	}
	c, err := l.through(ctx, network, addr)
	if err == nil {
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}
