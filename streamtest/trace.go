package streamtest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// trace is what has happened in a Kit, in order.
type trace struct {
	mu     sync.Mutex
	lines  []string
	recent [2]string // the last lines, without their times
}

const longest = 300 // bytes of a line

// add notes something. What comes again and again, alone or in pairs, is noted once.
func (r *trace) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	line = line[:min(len(line), longest)]
	if line != r.recent[0] && line != r.recent[1] {
		r.lines = append(r.lines, time.Now().Format("15:04:05.000 ")+line)
		r.recent[0], r.recent[1] = r.recent[1], line
	}
}

func (k *Kit) note(format string, args ...any) { k.trace.add(format, args...) }

// show prints the trace.
func (r *trace) show(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		t.Log(line)
	}
}

// observer notes what an instance tells: what goes as usual is left out.
func (r *trace) observer(name string) observe.Observer {
	at := func(p observe.Place) string { return fmt.Sprintf("%s: %s/%d: ", name, p.Topic, p.Partition) }
	return observe.Observer{
		RestorePlanned: func(e observe.Restore) {
			if e.Plan.Decision != state.Ready {
				r.add("%s%v: %s", at(e.Place), e.Plan.Decision, e.Plan.Cause)
			}
		},
		RestoreDone: func(e observe.Restore) { r.add("%scurrent, %d records applied", at(e.Place), e.Outcome.Records) },
		Reset:       func(e observe.Reset) { r.add("%sreset: %v", at(e.Place), e.Cause) },
		Swept:       func(e observe.Swept) { r.add("%s%d rows swept", at(e.Place), e.Rows) },
		Quarantined: func(e observe.Quarantined) { r.add("%squarantined: %v", at(e.Place), e.Cause) },
		Rebalance: func(e observe.Rebalance) {
			if e.Cause != nil {
				r.add("%s: generation %d: %s %v: %v", name, e.Generation, e.Kind, e.Tasks, e.Cause)
			} else {
				r.add("%s: generation %d: %s %v", name, e.Generation, e.Kind, e.Tasks)
			}
		},
		Commit: func(e observe.Commit) {
			if e.Err != nil {
				r.add("%s: commit of %v: %v", name, e.Tasks, e.Err)
			}
		},
		Flush: func(e observe.Flush) {
			if e.Err != nil {
				r.add("%sflush: %v", at(e.Place), e.Err)
			}
		},
		RecordError: func(e observe.RecordError) { r.add("%soffset %d: %s: %v", at(e.Place), e.Offset, e.Action, e.Cause) },
	}
}
