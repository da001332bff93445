package processor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// The producers of these tests.
const (
	ours, before, zombie, other int64 = 1, 2, 3, 4
)

// logged makes a batch of one record for each key; "" is a record without one.
func logged(first, producer int64, keys ...string) kafka.LogBatch {
	b := kafka.LogBatch{First: first, Last: first + int64(len(keys)) - 1, ID: kafka.RecordID{Producer: producer, Sequence: int32(first)}, Epoch: 5}
	for i, key := range keys {
		r := kafka.LogRecord{Key: []byte(key), Offset: first + int64(i)}
		if key == "" {
			r.Key = nil
		}
		b.Records = append(b.Records, r)
	}
	return b
}

func inTransaction(b kafka.LogBatch) kafka.LogBatch {
	b.Transactional = true
	return b
}

func marker(at, producer int64, abort bool) kafka.LogBatch {
	return kafka.LogBatch{First: at, Last: at, ID: kafka.RecordID{Producer: producer, Sequence: -1}, Epoch: 5, Transactional: true, Control: true, Abort: abort}
}

func withEpoch(b kafka.LogBatch, epoch int32) kafka.LogBatch {
	b.Epoch = epoch
	return b
}

func inspected(x stretch, batches []kafka.LogBatch) (verdict, error) {
	i := x.inspect()
	for n := range batches {
		if err := i.take(&batches[n]); err != nil {
			return verdict{}, err
		}
	}
	return i.verdict(), nil
}

// The table has read up to 10, of which 9 is its own record 9, and has written a, b at 20 and 21.
func TestR45_WhatIsInTheWay(t *testing.T) {
	last := logged(8, ours, "x", "y")
	for name, c := range map[string]struct {
		change  func(*stretch)
		batches []kafka.LogBatch
		err     error
		foreign []int64 // offsets
		own     []int64
		covered []string
	}{
		"nothing that is left":           {batches: []kafka.LogBatch{last, logged(20, ours, "a", "b")}},
		"markers":                        {batches: []kafka.LogBatch{last, marker(10, other, false), marker(11, other, true), logged(20, ours, "a", "b")}},
		"another writer":                 {batches: []kafka.LogBatch{last, logged(10, zombie, "k", "l"), logged(20, ours, "a", "b")}, foreign: []int64{10, 11}, covered: []string{"k", "l"}},
		"of own keys":                    {batches: []kafka.LogBatch{last, logged(10, zombie, "a", "l"), logged(20, ours, "a", "b")}, foreign: []int64{10, 11}, covered: []string{"l"}},
		"between own records":            {batches: []kafka.LogBatch{last, logged(20, ours, "a"), logged(21, zombie, "a", "b"), logged(23, ours, "b")}, change: func(x *stretch) { x.changes[1].Offset, x.to = 23, 23 }, foreign: []int64{21, 22}, covered: []string{"a"}},
		"a record without key":           {batches: []kafka.LogBatch{last, logged(10, zombie, ""), logged(20, ours, "a", "b")}, foreign: []int64{10}},
		"an empty key is a row":          {batches: []kafka.LogBatch{last, {First: 10, Last: 10, ID: kafka.RecordID{Producer: zombie}, Epoch: 5, Records: []kafka.LogRecord{{Key: []byte{}, Offset: 10}}}}, foreign: []int64{10}, covered: []string{""}},
		"own, late, of an older id":      {batches: []kafka.LogBatch{last, logged(10, before, "k"), logged(20, ours, "a", "b")}, own: []int64{10}, covered: []string{"k"}},
		"own, late, of the same id":      {batches: []kafka.LogBatch{last, logged(10, ours, "k"), logged(20, ours, "a", "b")}, own: []int64{10}, covered: []string{"k"}},
		"own and another's":              {batches: []kafka.LogBatch{last, logged(10, before, "k"), logged(11, zombie, "k", "m")}, own: []int64{10}, foreign: []int64{11, 12}, covered: []string{"k", "m"}},
		"an aborted transaction":         {batches: []kafka.LogBatch{last, inTransaction(logged(10, other, "k")), marker(11, other, true), logged(20, ours, "a", "b")}},
		"a committed transaction":        {batches: []kafka.LogBatch{last, inTransaction(logged(10, other, "k")), marker(11, other, false)}, foreign: []int64{10}, covered: []string{"k"}},
		"an open transaction":            {batches: []kafka.LogBatch{last, inTransaction(logged(10, other, "k"))}, foreign: []int64{10}, covered: []string{"k"}},
		"two transactions, crossed":      {batches: []kafka.LogBatch{last, inTransaction(logged(10, other, "k")), inTransaction(logged(11, zombie, "l")), marker(12, other, true), marker(13, zombie, false)}, foreign: []int64{11}, covered: []string{"l"}},
		"one transaction after another":  {batches: []kafka.LogBatch{last, inTransaction(logged(10, other, "k")), marker(11, other, true), inTransaction(logged(12, other, "l"))}, foreign: []int64{12}, covered: []string{"l"}},
		"half of a batch read before":    {batches: []kafka.LogBatch{logged(8, ours, "x", "y", "z")}, change: func(x *stretch) { x.from = 10; x.changes = nil; x.to = 11 }, own: []int64{10}, covered: []string{"z"}},
		"another record at applied":      {batches: []kafka.LogBatch{logged(8, zombie, "x", "y")}, err: errOtherLog},
		"own later record at applied":    {batches: []kafka.LogBatch{logged(9, ours, "y")}, change: func(x *stretch) { x.record.Sequence = 7 }, err: errOtherLog},
		"applied is gone":                {batches: []kafka.LogBatch{logged(10, zombie, "k")}, err: errUnsure},
		"gone, of the same epoch":        {batches: []kafka.LogBatch{logged(10, zombie, "k")}, change: func(x *stretch) { x.epoch = 5 }, foreign: []int64{10}, covered: []string{"k"}},
		"restored, the same epoch":       {batches: []kafka.LogBatch{logged(8, other, "x", "y")}, change: func(x *stretch) { x.record, x.epoch = kafka.NoRecord, 5 }},
		"restored, a greater epoch":      {batches: []kafka.LogBatch{withEpoch(logged(8, other, "x", "y"), 6)}, change: func(x *stretch) { x.record, x.epoch = kafka.NoRecord, 5 }, err: errOtherLog},
		"restored, gone, greater epoch":  {batches: []kafka.LogBatch{withEpoch(logged(10, other, "x"), 6)}, change: func(x *stretch) { x.record, x.epoch = kafka.NoRecord, 5 }, err: errUnsure},
		"restored, epoch never read":     {batches: []kafka.LogBatch{last}, change: func(x *stretch) { x.record, x.epoch = kafka.NoRecord, state.UnknownEpoch }, err: errUnsure},
		"a broker that tells no epochs":  {batches: []kafka.LogBatch{withEpoch(last, -1)}, change: func(x *stretch) { x.record, x.epoch = kafka.NoRecord, -2 }},
		"nothing applied that is left":   {batches: []kafka.LogBatch{logged(10, zombie, "k")}, change: func(x *stretch) { x.applied = state.UnknownOffset }, foreign: []int64{10}, covered: []string{"k"}},
		"more than there is memory for":  {batches: []kafka.LogBatch{last, logged(10, zombie, "k", "l")}, change: func(x *stretch) { x.most = changeBytes + 1 }, err: errUnsure},
		"behind the end is another look": {batches: []kafka.LogBatch{last, logged(10, zombie, "k"), logged(20, ours, "a", "b"), logged(22, zombie, "m")}, foreign: []int64{10}, covered: []string{"k"}},
	} {
		t.Run(name, func(t *testing.T) {
			x := stretch{from: 10, to: 21, changes: []scope.Change{placed("a", 20), placed("b", 21)}, applied: 9, record: last.Record(9),
				epoch: state.UnknownEpoch, producers: map[int64]bool{ours: true, before: true}, most: 1 << 20}
			if c.change != nil {
				c.change(&x)
			}
			v, err := inspected(x, c.batches)
			require.ErrorIs(t, err, c.err)
			var foreign, own []int64
			for _, s := range v.strays {
				if s.own {
					own = append(own, s.offset)
				} else {
					foreign = append(foreign, s.offset)
				}
			}
			require.Equal(t, c.foreign, foreign)
			require.Equal(t, c.own, own)
			require.Equal(t, c.covered, v.covered(x.changes))
			require.Len(t, v.foreign(), len(foreign))
		})
	}
}

func TestR45_LowerThanExpected(t *testing.T) {
	for name, c := range map[string]struct {
		offsets      []int64
		lower, whole bool
	}{
		"as expected":         {[]int64{10, 11}, false, true},
		"higher":              {[]int64{11, 12}, false, false},
		"higher in the midst": {[]int64{10, 12}, false, false},
		"lower":               {[]int64{4, 5}, true, false},
		"lower in the midst":  {[]int64{10, 9}, true, false},
	} {
		x := stretch{from: 10}
		for _, o := range c.offsets {
			x.changes = append(x.changes, placed("k", o))
		}
		require.Equal(t, c.lower, x.lower(), name)
		require.Equal(t, c.whole, x.whole(), name)
	}
}

// modelLog is a log that several write to, and what an owner makes of it.
type modelLog struct {
	r       *rand.Rand
	batches []kafka.LogBatch
	value   map[int64]string // by offset; "" is a tombstone
	end     int64
	open    map[int64]bool
}

func (l *modelLog) append(producer int64, txn bool, keys []string, value func(key string) string) (offsets []int64) {
	b := logged(l.end, producer, keys...)
	b.Transactional = txn
	for i, key := range keys {
		l.value[l.end+int64(i)] = value(key)
		offsets = append(offsets, l.end+int64(i))
	}
	l.batches, l.end = append(l.batches, b), l.end+int64(len(keys))
	return offsets
}

// disturb has others write, in transactions or without.
func (l *modelLog) disturb() {
	for range l.r.IntN(4) {
		producer := []int64{before, zombie, other}[l.r.IntN(3)]
		switch {
		case producer == other && l.open[producer] && l.r.IntN(2) == 0:
			l.mark(producer)
		default:
			l.open[producer] = l.open[producer] || producer == other
			l.append(producer, producer == other, keysOf(l.r), func(string) string { return []string{"", "stray"}[l.r.IntN(2)] })
		}
	}
}

func (l *modelLog) mark(producer int64) {
	l.batches, l.end = append(l.batches, marker(l.end, producer, l.r.IntN(2) == 0)), l.end+1
	delete(l.open, producer)
}

// fold is what a reader of committed records has in the end.
func (l *modelLog) fold() map[string]string {
	rows, aborted := map[string]string{}, map[int64]bool{}
	for _, b := range slices.Backward(l.batches) {
		if b.Control {
			aborted[b.ID.Producer] = b.Abort
			continue
		}
		if b.Transactional && aborted[b.ID.Producer] {
			continue
		}
		for _, r := range slices.Backward(b.Records) {
			if _, ok := rows[string(r.Key)]; !ok {
				rows[string(r.Key)] = l.value[r.Offset]
			}
		}
	}
	for key, v := range rows {
		if v == "" {
			delete(rows, key)
		}
	}
	return rows
}

func keysOf(r *rand.Rand) []string {
	keys := users9[:]
	return slices.Sorted(slices.Values(slices.Compact(slices.Collect(func(yield func(string) bool) {
		for _, i := range r.Perm(len(keys))[:1+r.IntN(3)] {
			if !yield(keys[i]) {
				return
			}
		}
	}))))
}

var users9 = [9]string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}

// Whoever writes what in between, in transactions that end now, later, this way or that: an owner that writes behind what
// is found has the rows of the log, also while others go on.
func TestR45_RandomWritersInBetween(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for n := range uint64(2000) {
		l := &modelLog{r: rand.New(rand.NewPCG(seed, n)), value: map[int64]string{}, open: map[int64]bool{}}
		rows, position := map[string]string{}, int64(0)
		for commit := range 4 {
			l.disturb()
			x := stretch{from: position, applied: state.UnknownOffset, producers: map[int64]bool{ours: true, before: true}, most: 1 << 20}
			keys := keysOf(l.r)
			value := fmt.Sprint(commit)
			for _, key := range keys {
				rows[key] = value
			}
			write := func(keys []string) {
				x.changes = nil
				for i, o := range l.append(ours, false, keys, func(key string) string { return rows[key] }) {
					x.changes = append(x.changes, placed(keys[i], o))
					x.to = o
				}
			}
			write(keys)
			for round := 0; ; round++ {
				v, err := inspected(x, l.batches)
				require.NoError(t, err)
				covered := v.covered(x.changes)
				if len(covered) == 0 {
					break
				}
				if round < 3 {
					l.disturb()
				}
				c := newCell("table", 0, nil)
				from := x
				write(covered)
				x = c.behind(&from, x.changes)
			}
			position = l.end
		}
		for _, producer := range []int64{other} {
			if l.open[producer] {
				l.mark(producer)
			}
		}
		for key, v := range rows {
			if v == "" {
				delete(rows, key)
			}
		}
		require.Equal(t, rows, l.fold(), "case %d", n)
	}
}

// With a session all leases end at once, though the call that closes the tasks has to wait for another one, and the next session
// begins meanwhile.
func TestR45_LeasesEndWithTheSession(t *testing.T) {
	env := newEnv(t, "table")
	lost, kept := runningTask(env, 0), runningTask(env, 1)
	env.tasks.onEvent(kafka.MemberEvent{Kind: kafka.MemberLost, Tasks: []int32{0, 7}})
	require.ErrorIs(t, context.Cause(lost.lease), errLost)
	require.NoError(t, kept.lease.Err())
	mine := &sealed{task: kept}
	env.commit.waiting = []*sealed{{task: lost}, mine}
	require.Equal(t, []*sealed{mine}, env.commit.take(), "nothing of it is written any more")
	for _, tk := range []*task{lost, kept} {
		close(tk.ended)
	}
	env.tasks.Lost([]int32{0, 1})
}
