package processor

import (
	"github.com/tarnstream/tarn/internal/invariant"
	"github.com/tarnstream/tarn/internal/scope"
)

// layer has the newest change of each key. A nil one has none.
//
// The naive layer is a map. Most rows that callbacks write are in memory above it, so hardly anybody looks for them here, and a map
// for each commit, with another one that they are gathered in, costs as much as the callbacks. The rule: changes are in a list, the older
// change of a row is found by the place that the row's mark remembers, and keys are indexed when one is first looked for.
//
// In a cell its lock guards it: find needs that shared, and the layer whole; what changes a layer needs it alone.
type layer struct {
	id    uint32 // by which marks know it, above 0; 0 for one that gets no more changes
	rows  []scope.Change
	index map[string]int32 // of the first len(index) rows
	bytes int
}

// changeBytes estimates a change in a layer without key and value, in a list that grows, with what else the key's piece of memory has;
// indexBytes is its place in an index.
const (
	changeBytes = 104
	indexBytes  = 40
)

// weight estimates the memory of a change in a layer.
func weight(ch *scope.Change) int { return changeBytes + len(ch.Key) + len(ch.Value) }

// layerOf makes a layer of changes, each of another key. It keeps the list.
func layerOf(changes []scope.Change) *layer {
	l := &layer{rows: changes}
	for i := range changes {
		l.bytes += weight(&changes[i])
	}
	return l
}

func (l *layer) len() int {
	if l == nil {
		return 0
	}
	return len(l.rows)
}

func (l *layer) size() int {
	if l == nil {
		return 0
	}
	return l.bytes
}

// whole tells that every key can be found.
func (l *layer) whole() bool { return l == nil || len(l.index) == len(l.rows) }

// complete makes it whole.
func (l *layer) complete() {
	if l.whole() {
		return
	}
	if l.index == nil {
		l.index = make(map[string]int32, len(l.rows))
	}
	from := len(l.index)
	for i := from; i < len(l.rows); i++ {
		l.index[l.rows[i].Key] = int32(i)
	}
	l.bytes += (len(l.rows) - from) * indexBytes
	invariant.Check(l.whole(), "processor: a layer of %d changes has %d keys", len(l.rows), len(l.index))
}

// find gives the change of a key, which is good as long as the lock is held.
func (l *layer) find(key string) (*scope.Change, bool) {
	if l == nil {
		return nil, false
	}
	i, ok := l.index[key]
	if !ok {
		return nil, false
	}
	return &l.rows[i], true
}

// put takes a change, instead of the older one of its key where there is one.
func (l *layer) put(ch *scope.Change) {
	at, found := l.place(ch)
	if at = l.set(ch, at, found); ch.Mark != nil {
		ch.Mark.Layer, ch.Mark.Place = l.id, at
	}
}

// set takes a change at the place of the older one of its key, or where none is found at the end, and tells where it is.
func (l *layer) set(ch *scope.Change, at int32, found bool) int32 {
	if found {
		l.bytes += weight(ch) - weight(&l.rows[at])
		l.rows[at] = *ch
		return at
	}
	l.rows = append(l.rows, *ch)
	l.bytes += weight(ch)
	return int32(len(l.rows) - 1)
}

// place finds the older change of a key: by the mark, which all changes of a row share, or for want of one by the key.
func (l *layer) place(ch *scope.Change) (at int32, found bool) {
	if ch.Mark != nil {
		return ch.Mark.Place, ch.Mark.Layer == l.id
	}
	return l.placeByKey(ch)
}

func (l *layer) placeByKey(ch *scope.Change) (at int32, found bool) {
	l.complete()
	at, found = l.index[ch.Key]
	return at, found
}

// cover takes the changes of a newer layer, by their keys: its marks know only that one.
func (l *layer) cover(newer *layer) {
	for i := range newer.rows {
		ch := &newer.rows[i]
		at, found := l.placeByKey(ch)
		l.set(ch, at, found)
	}
	l.complete()
}
