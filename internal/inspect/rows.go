package inspect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/internal/audit"
	"github.com/tarnstream/tarn/internal/layout"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// Idle tells by a *state.LockedError that a process holds one of the groups: their rows can be walked over only while nobody
// writes them.
func Idle(groups []Group) error {
	for _, g := range groups {
		h, held, err := layout.HolderOf(g.Dir)
		if err != nil {
			return err
		}
		if held {
			return fmt.Errorf("inspect: %w", &state.LockedError{Dir: g.Dir, PID: h.PID, Host: h.Host})
		}
	}
	return nil
}

// Audited is what the comparison of one store with its topic came to.
type Audited struct {
	Table     string `json:"table"`
	Partition int32  `json:"partition"`
	// Verdict is equal, different, altered (the topic tells of no difference, but the rows are not those that the store has
	// written), unproven (rows that the topic does not have, where that says nothing), or "not compared", for which Cause has the
	// reason.
	Verdict  string `json:"verdict"`
	Cause    string `json:"cause,omitempty"`
	Position int64  `json:"position"`
	Rows     int64  `json:"rows"`
	Records  int64  `json:"records"`
	// Different counts the keys that differ; Differences are the first of them.
	Different   int64        `json:"different"`
	Differences []Difference `json:"differences,omitempty"`
	Changed     int64        `json:"changed,omitempty"`
	Below       int64        `json:"below,omitempty"`
	Unproven    int64        `json:"unproven,omitempty"`
	// Digest is that of the rows, Stored the one in the checkpoint; empty where not known. Altered tells that they differ.
	Digest  string `json:"digest,omitempty"`
	Stored  string `json:"storedDigest,omitempty"`
	Altered bool   `json:"altered,omitempty"`

	// Raw are the Differences as they are.
	Raw []observe.Difference `json:"-"`
}

// Difference is a key in which a table differs from its topic; a side is nil where it has no row.
type Difference struct {
	Table *Line `json:"table,omitempty"`
	Topic *Line `json:"topic,omitempty"`
}

// Equal is the verdict of a store in which nothing was found.
const Equal = "equal"

// Verify compares the stores of g with their topics, and gives each audit as soon as it is there. Trouble with one store is
// its verdict, the end of ctx an error.
func (k *Kafka) Verify(ctx context.Context, g Group, values Values, each func(Audited)) error {
	for i := range g.Stores {
		s := &g.Stores[i]
		out := k.audit(ctx, s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		each(audited(s, out, values))
	}
	return nil
}

func (k *Kafka) audit(ctx context.Context, s *Store) observe.Audit {
	topic, err := k.topicOf(ctx, s)
	if err == nil {
		err = s.err
	}
	if err != nil {
		return observe.Audit{Err: err}
	}
	st, err := open(s.Dir, false)
	if err != nil {
		return observe.Audit{Err: err}
	}
	defer st.Close() // nothing was written
	rows, check, ok := st.Snapshot()
	defer rows.Close() // Compare has told its error
	if !ok {
		return observe.Audit{Err: errNothing}
	}
	log := k.log(topic, s.Partition)
	defer log.Close()
	return audit.Compare(ctx, audit.Table{Rows: rows, Disk: rows, Checkpoint: check}, log,
		audit.Options{Place: observe.Place{Topic: topic, Partition: s.Partition}})
}

var errNothing = errors.New("inspect: there is nothing in the store yet")

func audited(s *Store, a observe.Audit, values Values) Audited {
	out := Audited{Table: s.Table, Partition: s.Partition, Verdict: Equal, Position: a.Position, Rows: a.Rows, Records: a.Records,
		Different: a.Different, Changed: a.Changed, Below: a.Below, Unproven: a.Unproven,
		Digest: a.Digest, Stored: a.Stored, Altered: a.Altered(), Raw: a.Differences}
	switch {
	case a.Err != nil:
		out.Verdict, out.Cause = "not compared", a.Err.Error()
	case a.Different > 0:
		out.Verdict = "different"
	case a.Altered():
		out.Verdict = "altered"
	case a.Unproven > 0:
		out.Verdict = "unproven"
	}
	for _, d := range a.Differences {
		out.Differences = append(out.Differences, Difference{side(values, d.Key, d.Table), side(values, d.Key, d.Topic)})
	}
	return out
}

// side shows a row of a difference; a value that is not what it should be is shown as it is.
func side(values Values, key []byte, row *state.Row) *Line {
	if row == nil {
		return nil
	}
	l, _ := values.Line(key, *row)
	if row.Value == nil {
		l.Value, l.Timestamp = nil, time.Time{}
	}
	return &l
}

// Export gives the rows of a store in key order.
func Export(ctx context.Context, s *Store, values Values, each func(Line) error) error {
	if s.err != nil {
		return s.err
	}
	st, err := open(s.Dir, false)
	if err != nil {
		return err
	}
	defer st.Close() // nothing was written
	it := st.Range(nil, nil)
	defer it.Close() // Err tells it
	for it.Next() {
		l, err := values.Line(it.Key(), it.Row())
		if err == nil {
			err = each(l)
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
	return it.Err()
}
