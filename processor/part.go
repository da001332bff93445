package processor

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
)

// part is one partition of a table that a log is followed or restored into: its store, and how current that is. One goroutine
// notes what it hears of the log; any number read.
type part struct {
	at    observe.Place
	store state.Store
	tell  func(observe.StaleRead) // may be nil

	mu      sync.Mutex // guards what follows
	whole   bool       // the store has all that a log had once: there is something to answer from
	current bool       // since the start
	doubt   string     // why the store may not be what the log is, from the first sign of it until it is current again
	known   time.Time  // the latest time at which the log's end was seen to be shown
	end     int64      // the newest end heard of, at asked; the store may not show it yet
	asked   time.Time
	told    bool // a stale read was, since the store was current last
}

func newPart(at observe.Place, store state.Store, tell func(observe.StaleRead)) *part {
	p := &part{at: at, store: store, tell: tell, end: state.UnknownOffset}
	if cp, ok := store.Checkpoint(); ok {
		p.whole = true
		if cp.KnownCurrent.Before(time.Now()) { // a time after our clock is no time (R44)
			p.known = cp.KnownCurrent
		}
	}
	return p
}

// ready notes that the store shows all that was in the log at the start or, again, after a rebuild. It tells whether it
// is the first time.
func (p *part) ready() (first bool) {
	cp, _ := p.store.Checkpoint()
	p.mu.Lock()
	defer p.mu.Unlock()
	first = !p.current
	p.whole, p.current, p.doubt, p.told = true, true, "", false
	p.note(cp.KnownCurrent)
	return first
}

func (p *part) setDoubt(cause string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doubt = cause
}

// listed notes the log's end as it was listed in answer to a request sent at asked.
func (p *part) listed(asked time.Time, end int64) {
	p.mu.Lock()
	p.end = state.UnknownOffset
	p.mu.Unlock()
	p.heard(asked, end)
}

// heard notes the log's end as an answer to a fetch sent at asked tells it. One lower than the newest heard of since the last
// listing is none: a leader that is new may tell it for a moment.
func (p *part) heard(asked time.Time, end int64) {
	if end == state.UnknownOffset {
		return
	}
	p.mu.Lock()
	p.end, p.asked = max(p.end, end), asked
	p.mu.Unlock()
	p.shown()
}

// shown looks whether the store shows the newest end heard of. While it is in doubt it shows what was before; while it is
// rebuilt its position is of what nobody reads.
func (p *part) shown() {
	cp, ok := p.store.Checkpoint()
	if _, stale := p.store.Stale(); stale || !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doubt == "" && p.end != state.UnknownOffset && cp.Position >= p.end {
		p.note(p.asked)
	}
}

func (p *part) note(known time.Time) {
	if known.After(p.known) {
		p.known = known
	}
}

// startCause is what a read is told until the store is current for the first time.
const startCause = "it is being read since the start"

// staleness tells what an answer is worth now. whole is false where there is nothing to answer from.
func (p *part) staleness() (s policy.Staleness, whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s = policy.Staleness{Cause: p.cause(), Age: -1}
	if !p.known.IsZero() {
		s.Age = age(p.known, time.Now())
	}
	return s, p.whole
}

// cause is what stands against an answer. mu is held.
func (p *part) cause() string {
	if p.current {
		return p.doubt
	}
	return cmp.Or(p.doubt, startCause)
}

// age takes the greater of what the wall clock and the monotonic one say: the first may be set back, the second stands
// still while the machine sleeps.
func age(known, now time.Time) time.Duration {
	return max(0, now.Sub(known), now.Round(0).Sub(known.Round(0)))
}

// stale tells whether the store has been current, and may not be what the log is now.
func (p *part) stale() (cause string, stale bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doubt, p.current && p.doubt != ""
}

// isCurrent tells whether the store has been current since the start.
func (p *part) isCurrent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// staleRead is for a read that is answered in spite of a cause: the first of them is told, once until the store is current
// again.
func (p *part) staleRead() {
	p.mu.Lock()
	cause := p.cause()
	first := !p.told && cause != "" // it may be current by now
	p.told = p.told || first
	p.mu.Unlock()
	if first {
		observe.Tell(p.tell, observe.StaleRead{Place: p.at, Cause: cause})
	}
}

// admit is the one place where a read is told how current its answer is, and refused.
func (p *part) admit(reads []policy.Read) (policy.Staleness, error) {
	s, whole := p.staleness()
	if !whole {
		return s, ErrNotReady
	}
	if !s.Admit(reads...) {
		e := &policy.StaleError{Table: p.at.Topic, Partition: p.at.Partition, Staleness: s}
		if !p.isCurrent() {
			e.Err = ErrNotReady
		}
		return s, e
	}
	if s.Cause != "" {
		p.staleRead()
	}
	return s, nil
}

// get reads a row, if the reads allow it.
func (p *part) get(key []byte, reads []policy.Read) (state.Row, bool, error) {
	if _, err := p.admit(reads); err != nil {
		return state.Row{}, false, err
	}
	return p.store.Get(key)
}

// listened is a log that tells its part what it hears.
type listened struct {
	state.Log
	part  *part
	await func(context.Context) error // waits until the topic is there; nil: a topic that is missing ends the view
}

// Bounds implements state.Log. The end of another log, or of one that was cut off, says nothing of how current the store is.
func (l *listened) Bounds(ctx context.Context) (state.Bounds, error) {
	for {
		before, _ := l.part.store.Checkpoint()
		asked := time.Now()
		b, err := l.Log.Bounds(ctx)
		if err == nil {
			end := b.End
			if b.TopicID != before.TopicID || end < before.Position {
				end = state.UnknownOffset
			}
			l.part.listed(asked, end)
		}
		if l.await == nil || !is[*state.TopicMissingError](err) {
			return b, err
		}
		l.part.setDoubt("the topic is missing")
		if err := l.await(ctx); err != nil {
			return b, err
		}
	}
}

// Fetch implements state.Log. Who waits for a topic that is missing is sent to Bounds.
func (l *listened) Fetch(ctx context.Context, position int64) (state.Records, error) {
	l.part.shown()
	asked := time.Now()
	rs, err := l.Log.Fetch(ctx, position)
	if err == nil {
		l.part.heard(asked, rs.End)
	}
	if l.await != nil && is[*state.TopicMissingError](err) {
		err = &state.OutOfRangeError{Topic: l.part.at.Topic, Partition: l.part.at.Partition, Position: position}
	}
	return rs, err
}
