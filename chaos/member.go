package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/processor"
)

// memberCommand makes this program a process of the group. It ends with its input, so that none outlives the driver.
const memberCommand = "member"

// verifyCommand asks a member on its input for an audit, which it writes to its output as a line of JSON.
const verifyCommand = "verify"

// audit is what a member says of its tables.
type audit struct {
	Equal   int      // partitions that equal their topic
	Rows    int64    // in those
	Differs []string // those that do not
	Skipped []string // those of which nothing can be said: they have moved away meanwhile
}

// session is the shortest that a broker takes unless it is told otherwise.
const session = 6 * time.Second

// role is a member's part.
type role struct {
	brokers   string
	dir       string
	full      string // while there is a file of that name the disk is full
	guarantee guarantee
	broken    breach
}

func (r role) args() []string {
	return []string{memberCommand, "-brokers", r.brokers, "-dir", r.dir, "-full", r.full, "-guarantee", string(r.guarantee), "-broken", string(r.broken)}
}

func parseRole(args []string) (role, error) {
	r := role{}
	fs := flag.NewFlagSet(memberCommand, flag.ContinueOnError)
	fs.StringVar(&r.brokers, "brokers", "", "")
	fs.StringVar(&r.dir, "dir", "", "")
	fs.StringVar(&r.full, "full", "", "")
	fs.StringVar((*string)(&r.guarantee), "guarantee", "", "")
	fs.StringVar((*string)(&r.broken), "broken", "", "")
	return r, fs.Parse(args)
}

// member runs until it is told to end.
func member(ctx context.Context, args []string) (status int) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	r, err := parseRole(args)
	if err == nil {
		err = r.run(ctx, log)
	}
	switch {
	case errors.Is(err, errFull):
		log.Error("ended: the disk is full", "error", err)
		return statusFull
	case err != nil:
		log.Error("ended", "error", err)
		return statusBad
	}
	log.Info("ended")
	return statusOK
}

func (r role) run(ctx context.Context, log *slog.Logger) (err error) {
	tell := within
	if r.broken == lateOutputs {
		late, err := newLate(strings.Split(r.brokers, ","))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, late.close()) }()
		tell = late.emit
	}
	g, err := group(tell)
	if err != nil {
		return err
	}
	p, err := processor.New(g, r.options(log)...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		if err := listen(ctx, p, os.Stdin, os.Stdout); err != nil {
			log.Error("the driver is not heard any more", "error", err)
		}
	}()
	return p.Run(ctx)
}

func (r role) options(log *slog.Logger) []processor.Option {
	return append(r.guarantee.options(r.broken), processor.Brokers(strings.Split(r.brokers, ",")...), processor.Logger(log),
		processor.StateDir(r.dir, func(s *scope.StatePolicy) { s.Disk = &ldb.FailFS{FS: ldb.OS(), Before: r.write} }),
		processor.SessionTimeout(session), processor.FlushInterval(time.Second), processor.StartTimeout(patience), processor.StopTimeout(patience/4))
}

var errFull = errors.New("chaos: no space left on the device")

// write is asked before anything is written to the disk.
func (r role) write(op, name string) error {
	if _, err := os.Stat(r.full); err != nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", op, name, errFull)
}

// listen does what the driver says until it is gone.
func listen(ctx context.Context, p *processor.Processor, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if lines.Text() != verifyCommand {
			return fmt.Errorf("chaos: what is %q?", lines.Text())
		}
		if err := json.NewEncoder(out).Encode(verify(ctx, p)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func verify(ctx context.Context, p *processor.Processor) (told audit) {
	audits, err := p.Verify(ctx)
	if err != nil {
		told.Skipped = append(told.Skipped, err.Error())
	}
	for _, a := range audits {
		switch {
		case a.Equal():
			told.Equal++
			told.Rows += a.Rows
		case a.Different > 0 || a.Altered():
			told.Differs = append(told.Differs, fmt.Sprintf("%+v", a))
		default: // moved away, or Unproven
			told.Skipped = append(told.Skipped, fmt.Sprintf("%s/%d: %v", a.Topic, a.Partition, a.Err))
		}
	}
	return told
}
