package statetest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tarnstream/tarn/state"
)

// FakeLog is a state.Log in memory. Its methods may be called at any time, also while it is read.
type FakeLog struct {
	// Topic and Partition stand in its errors.
	Topic     string
	Partition int32
	// MaxRecords bounds an answer, 100 by default. LongPoll is how long a Fetch waits for records, 500 ms by default.
	MaxRecords int
	LongPoll   time.Duration

	mu       sync.Mutex
	onFetch  func(position int64, rs state.Records, err error) (state.Records, error)
	onBounds func(b state.Bounds, err error) (state.Bounds, error)
	entries  []entry
	start    int64
	end      int64
	epoch    int32
	bounds   state.Bounds
	missing  bool
	changed  chan struct{}
	fetches  []int64
	lists    int
}

type entryKind int

const (
	data entryKind = iota
	control
	aborted
	open
)

type entry struct {
	state.Record
	kind  entryKind
	epoch int32
	txn   int
}

// NewFakeLog makes an empty compacted log with delete.retention.ms of one day.
func NewFakeLog() *FakeLog {
	return &FakeLog{Topic: "table", MaxRecords: 100, LongPoll: 500 * time.Millisecond, changed: make(chan struct{}),
		bounds: state.Bounds{TopicID: state.TopicID{1}, ClusterID: "fake", Compacted: true, DeleteRetention: 24 * time.Hour}}
}

// OnFetch gives a function that may change every answer of Fetch or replace it by an error; nil ends that. It is called
// without a lock held, so that it may change the log too.
func (l *FakeLog) OnFetch(f func(position int64, rs state.Records, err error) (state.Records, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onFetch = f
}

// OnBounds is OnFetch for Bounds.
func (l *FakeLog) OnBounds(f func(b state.Bounds, err error) (state.Bounds, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onBounds = f
}

func (l *FakeLog) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// Append adds a record, nil for null, and gives its offset; its timestamp is the offset.
func (l *FakeLog) Append(key, value []byte) int64 { return l.add(data, key, value, 0) }

// Put adds a record.
func (l *FakeLog) Put(key, value string) int64 { return l.Append([]byte(key), []byte(value)) }

// Tombstone adds one.
func (l *FakeLog) Tombstone(key string) int64 { return l.Append([]byte(key), nil) }

// Marker adds a control record, as the end of a transaction leaves it.
func (l *FakeLog) Marker() int64 { return l.add(control, nil, nil, 0) }

// PutAborted adds a record of an aborted transaction; its marker is to be added too.
func (l *FakeLog) PutAborted(key, value string) int64 {
	return l.add(aborted, []byte(key), []byte(value), 0)
}

// PutOpen adds a record of transaction txn, which is open until EndTransaction.
func (l *FakeLog) PutOpen(txn int, key, value string) int64 {
	return l.add(open, []byte(key), []byte(value), txn)
}

// EndTransaction commits or aborts txn and adds its marker.
func (l *FakeLog) EndTransaction(txn int, commit bool) {
	kind := aborted
	if commit {
		kind = data
	}
	l.change(func() {
		for i := range l.entries {
			if l.entries[i].kind == open && l.entries[i].txn == txn {
				l.entries[i].kind = kind
			}
		}
	})
	l.Marker()
}

func (l *FakeLog) add(kind entryKind, key, value []byte, txn int) (offset int64) {
	l.change(func() {
		offset = l.end
		l.end++
		l.entries = append(l.entries, entry{kind: kind, epoch: l.epoch, txn: txn,
			Record: state.Record{Key: slices.Clone(key), Value: slices.Clone(value), Offset: offset, Timestamp: offset}})
	})
	return offset
}

// DeleteRecords raises the log start.
func (l *FakeLog) DeleteRecords(before int64) {
	l.change(func() {
		l.start = max(l.start, min(before, l.end))
		l.entries = slices.DeleteFunc(l.entries, func(e entry) bool { return e.Offset < l.start })
	})
}

// Compact removes what is superseded below the last stable offset, and with tombstones those too. Offsets stay.
func (l *FakeLog) Compact(tombstones bool) {
	l.change(func() {
		newest := map[string]int64{}
		for _, e := range l.entries {
			if e.kind == data && e.Offset < l.stable() {
				newest[string(e.Key)] = e.Offset
			}
		}
		l.entries = slices.DeleteFunc(l.entries, func(e entry) bool {
			if e.kind != data || e.Offset >= l.stable() {
				return e.kind == aborted
			}
			return newest[string(e.Key)] != e.Offset || tombstones && e.Value == nil
		})
	})
}

// Truncate cuts the log off at end, as an unclean leader election does; what is added then has the next leader epoch.
func (l *FakeLog) Truncate(end int64) {
	l.change(func() {
		l.entries = slices.DeleteFunc(l.entries, func(e entry) bool { return e.Offset >= end })
		l.end, l.start = end, min(l.start, end)
		l.epoch++
	})
}

// Recreate deletes the topic and creates it again, empty and with another id.
func (l *FakeLog) Recreate() {
	l.change(func() {
		l.entries, l.start, l.end, l.epoch, l.missing = nil, 0, 0, 0, false
		l.bounds.TopicID[0]++
	})
}

// DeleteTopic makes the topic missing until Recreate.
func (l *FakeLog) DeleteTopic() { l.change(func() { l.missing = true }) }

// Configure changes what the bounds say of the topic.
func (l *FakeLog) Configure(f func(*state.Bounds)) { l.change(func() { f(&l.bounds) }) }

// Fetches gives the positions fetched so far, Lists counts the calls of Bounds.
func (l *FakeLog) Fetches() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.fetches)
}

// Lists counts the calls of Bounds.
func (l *FakeLog) Lists() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lists
}

// End is the log's end.
func (l *FakeLog) End() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Fold is what a table of this log holds: the newest committed value of each key.
func (l *FakeLog) Fold() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]string{}
	for _, e := range l.entries {
		switch {
		case e.kind != data || e.Key == nil:
		case e.Value == nil:
			delete(out, string(e.Key))
		default:
			out[string(e.Key)] = string(e.Value)
		}
	}
	return out
}

func (l *FakeLog) stable() int64 {
	for _, e := range l.entries {
		if e.kind == open {
			return e.Offset
		}
	}
	return l.end
}

// Bounds implements state.Log.
func (l *FakeLog) Bounds(ctx context.Context) (state.Bounds, error) {
	b, err := l.listed()
	if err == nil {
		err = ctx.Err()
	}
	l.mu.Lock()
	f := l.onBounds
	l.mu.Unlock()
	if f != nil {
		return f(b, err)
	}
	return b, err
}

func (l *FakeLog) listed() (state.Bounds, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lists++
	if l.missing {
		return state.Bounds{}, &state.TopicMissingError{Topic: l.Topic}
	}
	b := l.bounds
	b.Start, b.End, b.Stable, b.LeaderEpoch = l.start, l.end, l.stable(), l.epoch
	return b, nil
}

// Fetch implements state.Log.
func (l *FakeLog) Fetch(ctx context.Context, position int64) (state.Records, error) {
	rs, changed, err := l.read(position)
	if err == nil && rs.Next == position {
		l.wait(ctx, changed)
		rs, _, err = l.read(position)
	}
	if err == nil {
		err = ctx.Err()
	}
	l.mu.Lock()
	l.fetches = append(l.fetches, position)
	f := l.onFetch
	l.mu.Unlock()
	if f != nil {
		return f(position, rs, err)
	}
	return rs, err
}

// Reuse spoils what Fetch gave, as a reader does that reads into the same memory again: nobody may refer to it any more.
func (l *FakeLog) Reuse(last state.Records) {
	for i := range last.Records {
		for _, b := range [][]byte{last.Records[i].Key, last.Records[i].Value} {
			for j := range b {
				b[j] = '?'
			}
		}
	}
	clear(last.Records)
}

func (l *FakeLog) read(position int64) (state.Records, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.missing {
		return state.Records{}, l.changed, &state.TopicMissingError{Topic: l.Topic}
	}
	if position < l.start || position > l.end {
		return state.Records{}, l.changed, &state.OutOfRangeError{Topic: l.Topic, Partition: l.Partition, Position: position}
	}
	return l.answer(position), l.changed, nil
}

func (l *FakeLog) wait(ctx context.Context, changed <-chan struct{}) {
	t := time.NewTimer(l.LongPoll)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
	}
}

func (l *FakeLog) answer(position int64) state.Records {
	rs := state.Records{Position: position, Next: position, FirstEpoch: state.UnknownEpoch, LastEpoch: state.UnknownEpoch,
		LogStart: l.start, Stable: l.stable(), End: l.end}
	for _, e := range l.entries {
		if e.Offset < position || e.Offset >= rs.Stable {
			continue
		}
		if rs.Present >= int64(l.MaxRecords) {
			return rs
		}
		rs.Present++
		rs.Next = e.Offset + 1
		rs.LastEpoch = e.epoch
		if rs.FirstEpoch < 0 {
			rs.FirstEpoch = e.epoch
		}
		if e.kind == data {
			r := e.Record
			r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
			rs.Records = append(rs.Records, r)
			rs.Bytes += int64(len(e.Key) + len(e.Value))
		}
	}
	rs.Next = max(rs.Stable, position)
	return rs
}
