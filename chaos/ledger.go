package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// ledger holds what was sent against what came of it. It knows nothing of Kafka.
type ledger struct {
	exactly bool // nothing may come twice

	mu      sync.Mutex
	keys    map[string]*account
	read    map[int32]int64 // positions in the input
	pending []*wait
	found   findings
}

// account is one key's.
type account struct {
	partition int32
	sent      int64 // the numbers below it were handed to the producer
	read      int64 // the numbers below it are in the input
	told      []int // how often each number came in an output
	row       tally // the newest in the table's topic
	rowAt     int64 // its offset, -1 for none
}

// findings are what is wrong, and some figures.
type findings struct {
	inputs, lost, double, again, wrong int64
	first                              []string
}

// mostTold is how many differences are told in words.
const mostTold = 10

func (f *findings) add(format string, args ...any) {
	if len(f.first) < mostTold {
		f.first = append(f.first, fmt.Sprintf(format, args...))
	}
}

// newLedger makes one for keys with their partitions.
func newLedger(exactly bool, keys map[string]int32) *ledger {
	l := &ledger{exactly: exactly, keys: map[string]*account{}, read: map[int32]int64{}}
	for key, p := range keys {
		l.keys[key] = &account{partition: p, rowAt: -1}
	}
	return l
}

// next gives the number that a key's next input has, which is from now on known as sent.
func (l *ledger) next(key string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.keys[key]
	a.sent++
	return a.sent - 1
}

// arrived tells whether a number is in the input.
func (l *ledger) arrived(key string, n int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return n < l.keys[key].read
}

// position is how far a partition of the input is read.
func (l *ledger) position(partition int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read[partition]
}

// input is a record of the input, in the order of its partition.
func (l *ledger) input(key string, p int32, offset, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read[p] = offset + 1
	a := l.account(key)
	if n != a.read {
		l.found.wrong++
		l.found.add("the feed of key %s is not exact, so that nothing can be said: number %d comes where %d is next", key, n, a.read)
	}
	a.read = max(a.read, n+1)
}

// account gives that of a key; one that was never sent has none of its numbers.
func (l *ledger) account(key string) *account {
	a := l.keys[key]
	if a == nil {
		a = &account{partition: -1, rowAt: -1}
		l.keys[key] = a
	}
	return a
}

// output is a record of the output, in the order of its partition.
func (l *ledger) output(key string, s step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(key)
	switch next := int64(len(a.told)); {
	case s.Number > next:
		l.found.wrong++
		l.found.add("key %s: number %d comes where %d is next: out of order, or what is between is lost", key, s.Number, next)
		a.told = append(a.told, make([]int, s.Number-next+1)...)
	case s.Number == next:
		a.told = append(a.told, 0)
	case a.told[s.Number] > 0 && l.exactly:
		l.found.double++
		l.found.add("key %s: number %d comes twice, the second time behind number %d", key, s.Number, next-1)
	case a.told[s.Number] == 0:
		l.found.wrong++
		l.found.add("key %s: number %d comes behind number %d: out of order", key, s.Number, next-1)
	}
	a.told[s.Number]++
	if want := s.Number + 1; s.Count < want || s.Count > want && l.exactly {
		l.found.wrong++
		l.found.add("key %s: number %d is counted as the %dth", key, s.Number, s.Count)
	}
	if s.Gap > 0 {
		l.found.wrong++
		l.found.add("key %s: the row does not know of the %d numbers before %d", key, s.Gap, s.Number)
	}
	l.progress(a, s.Number)
}

// row is a record of the table's topic.
func (l *ledger) row(key string, offset int64, row tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(key)
	a.row, a.rowAt = row, offset
}

// needed gives the offset of the oldest record that a table of the partition needs: what is below it has been written again.
func (l *ledger) needed(partition int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var places []int64
	for _, a := range l.keys {
		if a.partition == partition {
			places = append(places, a.rowAt)
		}
	}
	if len(places) == 0 {
		return 0
	}
	return max(0, slices.Min(places))
}

// end is the offset behind the newest record of a partition of the table's topic.
func (l *ledger) end(partition int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := int64(0)
	for _, a := range l.keys {
		if a.partition == partition {
			end = max(end, a.rowAt+1)
		}
	}
	return end
}

// soFar is what is wrong already, nil for nothing: that something is lost shows at the end only.
func (l *ledger) soFar() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.found.err()
}

// close compares what there is at the end.
func (l *ledger) close() findings {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.found
	for _, key := range slices.Sorted(maps.Keys(l.keys)) {
		a := l.keys[key]
		f.inputs += a.sent
		for n := range max(a.sent, int64(len(a.told))) {
			l.settle(key, a, n)
		}
		if a.read != a.sent {
			f.wrong++
			f.add("the feed of key %s is not exact: %d numbers are in the input, %d were sent", key, a.read, a.sent)
		}
		if a.row.Next != a.sent || a.row.Count < a.sent || a.row.Count > a.sent && l.exactly {
			f.wrong++
			f.add("key %s: the table's topic has %+v, %d inputs were sent", key, a.row, a.sent)
		}
	}
	return *f
}

func (l *ledger) settle(key string, a *account, n int64) {
	times := 0
	if n < int64(len(a.told)) {
		times = a.told[n]
	}
	switch f := &l.found; {
	case n >= a.sent && times > 0:
		f.wrong++
		f.add("key %s: number %d was never sent", key, n)
	case times == 0:
		f.lost++
		f.add("key %s: number %d is lost", key, n)
	case times > 1 && !l.exactly:
		f.again += int64(times - 1)
	}
}

// err is what the findings come to.
func (f findings) err() error {
	if f.lost+f.double+f.wrong == 0 {
		return nil
	}
	text := fmt.Sprintf("%d lost, %d double, %d other differences; the first of them:", f.lost, f.double, f.wrong)
	for _, d := range f.first {
		text += "\n  " + d
	}
	return fmt.Errorf("%s", text)
}

// wait is for the group to go on after a fault: until of each partition an input that was sent after it is told of.
type wait struct {
	began time.Time
	marks map[*account]int64
	left  map[int32]bool // partitions
	took  time.Duration  // set before done is closed
	done  chan struct{}
}

// after begins a wait.
func (l *ledger) after() *wait {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &wait{began: time.Now(), marks: map[*account]int64{}, left: map[int32]bool{}, done: make(chan struct{})}
	for _, a := range l.keys {
		w.marks[a], w.left[a.partition] = a.sent, true
	}
	l.pending = append(l.pending, w)
	return w
}

func (l *ledger) progress(a *account, n int64) {
	l.pending = slices.DeleteFunc(l.pending, func(w *wait) bool {
		if mark, ok := w.marks[a]; ok && n >= mark {
			delete(w.left, a.partition)
		}
		if len(w.left) > 0 {
			return false
		}
		w.took = time.Since(w.began)
		close(w.done)
		return true
	})
}
