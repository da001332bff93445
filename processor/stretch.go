package processor

import (
	"cmp"
	"errors"
	"slices"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// stretch is a part of a table's log in which its owner finds offsets that it has not written: [from, to), behind the last
// record that the table has taken in. It is judged without a look at anything but what the log has there.
type stretch struct {
	from, to int64
	// changes are the owner's own in it, at their offsets.
	changes []scope.Change
	// applied is the last offset taken in, negative for none that the log still has. Which record that is, or else which
	// epoch its batch has, tells whether the log is the same as then.
	applied int64
	record  kafka.RecordID
	epoch   int32
	// producers are the ids of this process's own batches.
	producers map[int64]bool
	// most bounds what may be taken in of it, in bytes.
	most int
}

// lower tells that the log has own changes below where it ended: it was truncated.
func (x *stretch) lower() bool {
	at := state.Checkpoint{Position: x.from}
	for _, ch := range x.changes {
		if ch.Offset < at.Position {
			return true
		}
		at.Applied(ch.Offset)
	}
	return false
}

// whole tells that the changes follow each other, and nothing else is there.
func (x *stretch) whole() bool {
	n := len(x.changes)
	return n > 0 && x.changes[0].Offset == x.from && x.changes[n-1].Offset == x.from+int64(n)-1
}

// stray is a record of the log that is none of the changes: of another writer, or late, out of a commit of this process that
// was given up.
type stray struct {
	key      string
	null     bool // a record without a key is no row
	offset   int64
	producer int64
	own      bool
}

// Why a stretch is not judged.
var (
	// errOtherLog: the log has another history, of which the table knows nothing.
	errOtherLog = errors.New("processor: a table's topic was truncated and has grown again")
	// errUnsure: whether that is so cannot be seen there, or there is too much of it. A restore, which asks more, decides.
	errUnsure = errors.New("they are too many, or the log cannot be compared with what was read before")
)

// verdict is what a stretch holds beside the owner's changes, in the order of the log.
type verdict struct {
	strays []stray
	last   kafka.RecordID // of the last offset that the stretch has a batch of, at end
	end    int64          // state.UnknownOffset without any
}

// inspection judges a stretch batch by batch.
type inspection struct {
	*stretch
	mine     map[int64]bool
	anchored bool // the log is the same up to applied
	open     map[int64][]stray
	found    verdict
	bytes    int
}

func (x *stretch) inspect() *inspection {
	i := &inspection{stretch: x, mine: make(map[int64]bool, len(x.changes)), anchored: x.applied < 0, open: map[int64][]stray{},
		found: verdict{end: state.UnknownOffset}}
	for _, ch := range x.changes {
		i.mine[ch.Offset] = true
	}
	return i
}

// begin is where to read from.
func (i *inspection) begin() int64 {
	if i.anchored {
		return i.from
	}
	return i.applied
}

// take takes the next batch. After an error the stretch is not judged.
func (i *inspection) take(b *kafka.LogBatch) error {
	if err := i.anchor(b); err != nil {
		return err
	}
	if b.Last < i.from {
		return nil
	}
	i.found.last, i.found.end = b.Record(b.Last), b.Last
	if b.Control {
		ended := i.open[b.ID.Producer]
		delete(i.open, b.ID.Producer)
		if !b.Abort {
			i.found.strays = append(i.found.strays, ended...)
		}
		return nil
	}
	return i.data(b)
}

// anchor looks at the first batch that ends at or behind applied.
func (i *inspection) anchor(b *kafka.LogBatch) error {
	if i.anchored || b.Last < i.applied {
		return nil
	}
	i.anchored = true
	covers := b.First <= i.applied
	switch {
	case covers && i.record != kafka.NoRecord:
		if !i.written(b) {
			return errOtherLog
		}
	case i.epoch == b.Epoch && i.epoch >= 0, i.epoch < state.UnknownEpoch: // the same leader's, or a broker's that tells no epochs
	case covers && i.epoch >= 0:
		return errOtherLog
	default:
		return errUnsure
	}
	return nil
}

// written tells whether a batch has the record that was applied last, or is the marker behind it that was passed with it.
func (i *inspection) written(b *kafka.LogBatch) bool {
	if b.Control {
		return b.ID.Producer == i.record.Producer
	}
	return b.Record(i.applied) == i.record
}

func (i *inspection) data(b *kafka.LogBatch) error {
	for _, r := range b.Records {
		if r.Offset < i.from || r.Offset >= i.to || i.mine[r.Offset] {
			continue
		}
		s := stray{key: string(r.Key), null: r.Key == nil, offset: r.Offset, producer: b.ID.Producer, own: i.producers[b.ID.Producer]}
		if i.bytes += changeBytes + len(s.key); i.bytes > i.most {
			return errUnsure
		}
		if b.Transactional {
			i.open[s.producer] = append(i.open[s.producer], s)
		} else {
			i.found.strays = append(i.found.strays, s)
		}
	}
	return nil
}

// verdict is called after the last batch. What is in a transaction whose end is not there yet counts: it may be committed
// later, at the offsets that it has.
func (i *inspection) verdict() verdict {
	for _, undecided := range i.open {
		i.found.strays = append(i.found.strays, undecided...)
	}
	slices.SortFunc(i.found.strays, func(a, b stray) int { return cmp.Compare(a.offset, b.offset) })
	return i.found
}

// foreign are the strays of other writers.
func (v *verdict) foreign() []stray {
	return slices.DeleteFunc(slices.Clone(v.strays), func(s stray) bool { return s.own })
}

// covered are the keys, in order, whose newest record in the log is a stray, so that a fold of the log has its value.
func (v *verdict) covered(changes []scope.Change) []string {
	written := make(map[string]int64, len(changes))
	for _, ch := range changes {
		written[ch.Key] = ch.Offset
	}
	var keys []string
	seen := map[string]bool{}
	for _, s := range slices.Backward(v.strays) {
		at, ok := written[s.key]
		if s.null || seen[s.key] || ok && at > s.offset {
			continue
		}
		seen[s.key] = true
		keys = append(keys, s.key)
	}
	slices.Sort(keys)
	return keys
}
