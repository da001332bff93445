// Command expired tells what happens to a table whose log is not what it was when it was last read: four faults by their
// numbers in tarn's catalogue, and beside what tarn serves, what a client serves that goes on reading where it stood.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
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

// opening is what one has to know to read what follows.
const opening = `A firewall blocks the addresses of a table, which is what a compacted topic says: the newest record of each address.
Four times the topic's log is not what it was when the table was read last. Beside what tarn serves then stands what is
served without its check, by a client that keeps its rows and goes on reading where it stood, or where the log begins now.
The numbers are those of tarn's tests.`

func run(ctx context.Context, out io.Writer) error {
	fmt.Fprintf(out, "%s\n\n", opening)
	wrong := 0
	for _, tell := range []func(context.Context, *scene) error{below, midway, recreated, away} {
		s, err := newScene(out)
		if err == nil {
			err = errors.Join(tell(ctx, s), s.close())
		}
		if err != nil {
			return err
		}
		wrong += s.wrong
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "Four times tarn served what the topic has. Without the check %d addresses were wrong.\n", wrong)
	return nil
}

// below: the log expires under a stopped process.
func below(ctx context.Context, s *scene) error {
	s.title("R01", "the log expired while the process was down")
	s.block("10.0.0.1", "port scan", "10.0.0.2", "brute force", "10.0.0.3", "spam")
	s.life(ctx, nil)
	s.say("meanwhile", "10.0.0.2 is unblocked, 10.0.0.3 has another reason, 10.0.0.4 is new; then the records below offset 4 expire")
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
		s.say("meanwhile", "10.0.0.2 has another reason, 10.0.0.4 is new; the records below offset 3 expire while the restore is at offset 2")
		s.block("10.0.0.2", "botnet", "10.0.0.4", "port scan")
		s.do(s.broker.DeleteRecords(blocked.Name(), 0, 3))
		s.do(open.Abort())
	})
	return s.err
}

// recreated: another topic has the name.
func recreated(ctx context.Context, s *scene) error {
	s.title("R04", "the topic was deleted and created again, and is longer now than what was read")
	s.block("10.0.0.1", "port scan", "10.0.0.2", "brute force")
	s.life(ctx, nil)
	s.say("meanwhile", "a new topic of the same name gets three rows")
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
	s.say("meanwhile", "10.0.0.1 is unblocked, 10.0.0.3 is new; compaction removes the row of 10.0.0.1 and later its tombstone, too")
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

	wrong int // addresses that were served wrongly without the check

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

func (s *scene) say(what, text string) { fmt.Fprintf(s.out, "     %-11s%s\n", what+":", text) }

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
		s.say("the table", fmt.Sprintf("%s, read up to offset %d", list(s.old), s.position))
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

// show tells what tarn makes of the log, and address by address what it serves and what is served without the check.
func (s *scene) show(ctx context.Context, v *processor.View[string]) {
	s.current(ctx, v)
	for len(s.planned) > 0 {
		plan := <-s.planned
		s.say("tarn", fmt.Sprintf("%s: %s", plan.Decision, plan.Cause))
	}
	rows := map[string]string{}
	for row, err := range v.Range() {
		if err != nil {
			s.do(err)
			return
		}
		rows[row.Key] = row.Value
	}
	topic, unchecked := s.without(map[string]string{}, 0), s.without(s.old, s.position)
	if !maps.Equal(rows, topic) {
		s.do(fmt.Errorf("the table %v is not the topic %v", rows, topic))
	}
	s.compare(rows, unchecked)
}

// compare tells beside what is right what is not.
func (s *scene) compare(right, unchecked map[string]string) {
	w := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "     address\ttarn\twithout the check")
	for _, address := range slices.Sorted(maps.Keys(merged(right, unchecked))) {
		is, serves := cmp.Or(right[address], "-"), cmp.Or(unchecked[address], "-")
		fmt.Fprintf(w, "     %s\t%s\t%s", address, is, serves)
		if wrong := verdict(is, serves); wrong != "" {
			fmt.Fprintf(w, "\t<- %s", wrong)
			s.wrong++
		}
		fmt.Fprintln(w)
	}
	s.do(w.Flush())
}

// verdict is what is wrong with what is served; "-" is none.
func verdict(is, serves string) string {
	switch {
	case is == serves:
		return ""
	case is == "-":
		return "wrong: blocked, and the topic does not say so"
	case serves == "-":
		return "wrong: not blocked"
	}
	return "wrong: the reason of before"
}

// list names rows in the order of their keys.
func list(rows map[string]string) string {
	var all []string
	for _, address := range slices.Sorted(maps.Keys(rows)) {
		all = append(all, fmt.Sprintf("%s (%s)", address, rows[address]))
	}
	return strings.Join(all, ", ")
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
