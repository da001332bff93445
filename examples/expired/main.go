// Command expired tells what happens to a table whose log is not what it was when it was last read: four faults by their
// numbers in tarn's catalogue, and beside what tarn serves, what a client serves that goes on reading where it stood.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// blocked has the addresses that a firewall keeps out, each with the reason.
var blocked = topology.NewReadTable("blocked", codec.String)

// tombstonesKept is for how long Kafka keeps a tombstone at least, here.
const tombstonesKept = 200 * time.Millisecond

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	for _, tell := range []func(context.Context, *scene) error{below, midway, recreated, away} {
		s, err := newScene(out)
		if err == nil {
			err = errors.Join(tell(ctx, s), s.close())
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out, "four times, what tarn served was what the topic has")
	return nil
}

// below: the log expires under a stopped process.
func below(ctx context.Context, s *scene) error {
	s.title("R01", "the log expired while the process was down")
	s.block("10.0.0.1", "port scan", "10.0.0.2", "brute force", "10.0.0.3", "spam")
	s.life(ctx, nil)
	s.say("down:  10.0.0.2 is unblocked, 10.0.0.3 has another reason, 10.0.0.4 is new; then old segments are deleted")
	s.unblock("10.0.0.2")
	s.block("10.0.0.3", "botnet", "10.0.0.4", "port scan")
	s.do(s.broker.DeleteRecords(blocked.Name(), 0, 4))
	return s.back(ctx)
}

// midway: retention passes a reader in the middle of its restore.
func midway(ctx context.Context, s *scene) error {
	s.title("R02", "the log expired under a restore")
	s.block("10.0.0.1", "port scan", "10.0.0.2", "brute force")
	open := s.begin() // the log cannot be read to its end yet
	s.life(ctx, func() {
		s.say("midway: two rows are read when the segment with them is deleted, and the log goes on behind it")
		s.do(s.broker.DeleteRecords(blocked.Name(), 0, 3))
		s.do(open.Abort())
		s.block("10.0.0.2", "botnet", "10.0.0.4", "port scan")
	})
	return s.err
}

// recreated: another topic has the name.
func recreated(ctx context.Context, s *scene) error {
	s.title("R04", "the topic was deleted and created again, and is longer now than what was read")
	s.block("10.0.0.1", "port scan", "10.0.0.2", "brute force")
	s.life(ctx, nil)
	s.say("down:  a new topic of the same name gets three rows")
	s.do(s.broker.DeleteTopic(blocked.Name()))
	s.create()
	s.block("10.0.0.2", "botnet", "10.0.0.3", "spam", "10.0.0.4", "port scan")
	return s.back(ctx)
}

// away: the checkpoint is within the log, and yet a delete was missed.
func away(ctx context.Context, s *scene) error {
	s.title("R06", "the process was down for longer than tombstones are kept")
	s.block("10.0.0.1", "port scan", "10.0.0.2", "brute force")
	s.life(ctx, nil)
	s.say("down:  10.0.0.1 is unblocked, 10.0.0.3 is new; the log is compacted, and then the tombstone is removed, too")
	s.unblock("10.0.0.1")
	s.block("10.0.0.3", "spam")
	s.wait(ctx, 2*tombstonesKept)
	s.do(s.broker.Hollow(blocked.Name(), 0, 0, 1)) // the row
	s.do(s.broker.Hollow(blocked.Name(), 0, 2, 3)) // its tombstone
	return s.back(ctx)
}

// scene is a broker with the topic, the folder of a view of it, and what the view had when it was last there.
type scene struct {
	out      io.Writer
	broker   *devbroker.Broker
	dir      string
	old      map[string]string
	position int64

	planned chan state.Plan
	read    chan int64 // the position that a restore has come to

	mu  sync.Mutex
	err error // the first
}

func newScene(out io.Writer) (*scene, error) {
	broker, err := devbroker.Start()
	if err != nil {
		return nil, err
	}
	s := &scene{out: out, broker: broker, planned: make(chan state.Plan, 16), read: make(chan int64, 16)}
	s.dir, err = os.MkdirTemp("", "expired")
	s.do(err)
	s.create()
	return s, nil
}

func (s *scene) close() error { return errors.Join(s.broker.Close(), os.RemoveAll(s.dir)) }

// do keeps the first error.
func (s *scene) do(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *scene) say(text string) { fmt.Fprintln(s.out, "     "+text) }

func (s *scene) title(number, text string) { fmt.Fprintf(s.out, "%s  %s\n", number, text) }

func (s *scene) create() {
	s.do(s.broker.CreateTopic(blocked.Name(), 1, map[string]string{"cleanup.policy": "compact",
		"delete.retention.ms": fmt.Sprint(tombstonesKept.Milliseconds())}))
}

// block writes addresses and reasons, by turns.
func (s *scene) block(rows ...string) {
	for row := range slices.Chunk(rows, 2) {
		s.do(s.broker.Produce(blocked.Name(), 0, devbroker.Record{Key: []byte(row[0]), Value: []byte(row[1])}))
	}
}

func (s *scene) unblock(address string) {
	s.do(s.broker.Produce(blocked.Name(), 0, devbroker.Record{Key: []byte(address)}))
}

// begin leaves a transaction open.
func (s *scene) begin() *devbroker.Transaction {
	tx, err := s.broker.Begin("somebody", time.Minute)
	s.do(err)
	if err == nil {
		s.do(tx.Produce(blocked.Name(), 0, devbroker.Record{Key: []byte("10.0.0.3"), Value: []byte("spam")}))
	}
	return tx
}

func (s *scene) wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
		s.do(context.Cause(ctx))
	}
}

// life runs the view until it is current, or until it has read what can be read and something happens.
func (s *scene) life(ctx context.Context, happens func()) {
	s.view(ctx, func(ctx context.Context, v *processor.View[string]) {
		<-s.planned
		bounds, err := s.broker.Bounds(blocked.Name(), 0)
		s.do(err)
		for s.position < bounds.Stable && ctx.Err() == nil {
			select {
			case s.position = <-s.read:
			case <-ctx.Done():
			}
		}
		s.old = s.without(map[string]string{}, 0)
		if happens == nil {
			s.current(ctx, v)
			return
		}
		happens()
		s.show(ctx, v)
	})
}

// back starts the view again.
func (s *scene) back(ctx context.Context) error {
	s.view(ctx, s.show)
	return s.err
}

// view runs a view of the table in the scene's folder during a function, whose context ends when the view does.
func (s *scene) view(ctx context.Context, during func(context.Context, *processor.View[string])) {
	if s.err != nil {
		return
	}
	v, err := processor.NewView(blocked, processor.Brokers(s.broker.Addrs()...), processor.StateDir(s.dir),
		processor.Logger(slog.New(slog.DiscardHandler)), processor.Observe(observe.Observer{
			RestorePlanned:  func(r observe.Restore) { s.planned <- r.Plan },
			RestoreProgress: func(r observe.Restore) { s.read <- r.Outcome.Position },
		}))
	if err != nil {
		s.do(err)
		return
	}
	ctx, stop := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := v.Run(ctx)
		s.do(err)
		stop(err)
	}()
	during(ctx, v)
	stop(nil)
	<-ended
}

func (s *scene) current(ctx context.Context, v *processor.View[string]) {
	select {
	case <-v.Ready():
	case <-ctx.Done():
	}
}

// show tells what tarn makes of the log, what it serves, and what a client serves that goes on where it stood.
func (s *scene) show(ctx context.Context, v *processor.View[string]) {
	s.current(ctx, v)
	for len(s.planned) > 0 {
		plan := <-s.planned
		s.say(fmt.Sprintf("tarn:  %s: %s", plan.Decision, plan.Cause))
	}
	rows := map[string]string{}
	for row, err := range v.Range() {
		if err != nil {
			s.do(err)
			return
		}
		rows[row.Key] = row.Value
		s.say("         " + row.Key + "  " + row.Value)
	}
	s.say("without the check:")
	topic, served := s.without(map[string]string{}, 0), s.without(s.old, s.position)
	for _, address := range slices.Sorted(maps.Keys(merged(topic, served))) {
		was, serves := served[address]
		is, right := topic[address]
		switch {
		case !serves:
			was, is = "is missing", "   <- the topic says "+is
		case !right:
			is = "   <- the topic does not have it"
		case is != was:
			is = "   <- the topic says " + is
		default:
			is = ""
		}
		s.say("         " + address + "  " + was + is)
	}
	if !maps.Equal(rows, topic) {
		s.do(fmt.Errorf("the table %v is not the topic %v", rows, topic))
	}
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// without is what a client has that puts what the log still has, from a position on, over the rows that it had.
func (s *scene) without(had map[string]string, position int64) map[string]string {
	rows := maps.Clone(had)
	records, err := s.broker.Records(blocked.Name(), 0)
	s.do(err)
	for _, r := range records {
		switch {
		case r.Offset < position:
		case r.Value == nil:
			delete(rows, string(r.Key))
		default:
			rows[string(r.Key)] = string(r.Value)
		}
	}
	return rows
}
