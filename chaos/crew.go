package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/tarnstream/tarn/internal/child"
)

// slot is a state folder and the process that runs on it.
type slot struct {
	name string
	role role
	logs string // folder
	runs int
	fail func(error) // called when the process ends by itself

	*life // nil while none runs
}

// life is one process.
type life struct {
	process *child.Process
	leaving atomic.Bool // its end is wanted
	ended   chan error
	said    chan audit
}

func newSlot(c config, brokers []string, n int, fail func(error)) *slot {
	name := string(rune('a' + n))
	return &slot{name: name, logs: filepath.Join(c.dir, "logs"), fail: fail, role: role{brokers: strings.Join(brokers, ","),
		dir: filepath.Join(c.dir, "state-"+name), full: filepath.Join(c.dir, "full-"+name), guarantee: c.guarantee, broken: c.broken}}
}

func (s *slot) log() string { return filepath.Join(s.logs, fmt.Sprintf("%s-%d.log", s.name, s.runs)) }

func (s *slot) start() error {
	s.runs++
	l := &life{ended: make(chan error, 1), said: make(chan audit, 1)}
	var err error
	l.process, err = child.Start(child.Config{Log: s.log(), Said: &ear{heard: l.said}, Args: s.role.args()})
	if err != nil {
		return err
	}
	s.life = l
	go s.watch(l)
	return nil
}

func (s *slot) watch(l *life) {
	err := <-l.process.Ended()
	if !l.leaving.Load() {
		s.fail(fmt.Errorf("process %s has ended by itself: %w", s.name, err))
	}
	l.ended <- err
}

// ear takes the lines that a member says. A line is written whole.
type ear struct{ heard chan audit }

func (e *ear) Write(line []byte) (int, error) {
	var a audit
	if err := json.Unmarshal(line, &a); err != nil {
		return 0, err
	}
	e.heard <- a
	return len(line), nil
}

// kill is kill -9.
func (s *slot) kill() {
	l := s.life
	if l == nil {
		return
	}
	s.life = nil
	l.leaving.Store(true)
	l.process.Kill()
	var status *exec.ExitError
	if err := <-l.ended; !errors.As(err, &status) || status.Exited() {
		s.fail(fmt.Errorf("process %s had ended by itself when it was killed: %w; see %s", s.name, err, s.log()))
	}
}

// stop ends the process cleanly.
func (s *slot) stop(ctx context.Context) error {
	if s.life == nil {
		return nil
	}
	s.life.leaving.Store(true)
	if err := s.life.process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("process %s: %w", s.name, err)
	}
	err := s.await(ctx)
	if err != nil {
		return fmt.Errorf("process %s does not end cleanly: %w", s.name, err)
	}
	return nil
}

// await waits for the end of a process that is to end.
func (s *slot) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case err := <-s.life.ended:
		s.life = nil
		return err
	case <-ctx.Done():
		s.kill()
		return fmt.Errorf("still there after %v: %w", patience, context.Cause(ctx))
	}
}

// fill lets the process find its disk full, and waits until it has ended for it.
func (s *slot) fill(ctx context.Context) error {
	s.life.leaving.Store(true)
	if err := os.WriteFile(s.role.full, nil, 0o644); err != nil {
		return err
	}
	err := s.await(ctx)
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != statusFull {
		return fmt.Errorf("process %s does not end because its disk is full: %w; see %s", s.name, err, s.log())
	}
	return nil
}

// empty makes room on the disk again.
func (s *slot) empty() error { return os.Remove(s.role.full) }

// wipe removes the state of a process that does not run.
func (s *slot) wipe() error { return os.RemoveAll(s.role.dir) }

// verify has the process compare its tables with their topics.
func (s *slot) verify(ctx context.Context) (audit, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.life.process.Tell(verifyCommand); err != nil {
		return audit{}, err
	}
	select {
	case a := <-s.life.said:
		if len(a.Differs) > 0 {
			return a, fmt.Errorf("process %s has tables that are not the fold of their topics: %s", s.name, strings.Join(a.Differs, "; "))
		}
		return a, nil
	case <-ctx.Done():
		return audit{}, fmt.Errorf("process %s tells of no audit: %w", s.name, context.Cause(ctx))
	}
}
