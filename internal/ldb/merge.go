package ldb

import (
	"bytes"
	"encoding/binary"
)

// Rows are rows in key order, each key once; a nil one deletes what older ones had. They are good until the next call.
type Rows interface {
	Len() int
	At(i int) (key, row []byte)
}

// merger walks over several runs, and rows in memory, at once, in key order: a heap of those that have rows left.
type merger struct {
	ways  []*way
	depth int // so many bytes are the same in all keys
}

// way is a run, or rows in memory, at a row. head is what its key goes on with behind what all have, for a quick look.
type way struct {
	head     uint64
	age      int // of two with one key the greater is the newer
	key, row []byte

	from *cursor
	rows Rows // instead
	at   int
}

// merger takes runs, the oldest first, and rows that are newer than all of them, or nil.
func (b *Builder) merger(runs []run, newest Rows) (*merger, error) {
	m := &merger{}
	all := span{}
	for i, r := range runs {
		all = all.with(span{r.first, r.last})
		m.ways = append(m.ways, &way{age: i, from: &cursor{b: b, files: r.files}})
	}
	if newest != nil && newest.Len() > 0 {
		first, _ := newest.At(0)
		last, _ := newest.At(newest.Len() - 1)
		all = all.with(span{bytes.Clone(first), bytes.Clone(last)})
		m.ways = append(m.ways, &way{age: len(runs), rows: newest})
	}
	m.depth = shared(all.first, all.last)
	for i := len(m.ways) - 1; i >= 0; i-- {
		if err := m.step(i); err != nil {
			m.close()
			return nil, err
		}
	}
	return m, nil
}

// step has the way at i go on, and puts it in its place; those behind it are in theirs.
func (m *merger) step(i int) error {
	w := m.ways[i]
	ok, err := w.next()
	if err != nil {
		return err
	}
	if ok {
		w.head = KeyHead(w.key, m.depth)
	} else {
		last := len(m.ways) - 1
		m.ways[i] = m.ways[last]
		m.ways = m.ways[:last]
	}
	m.sink(i)
	return nil
}

func (w *way) next() (bool, error) {
	if w.from != nil {
		ok, err := w.from.next()
		w.key, w.row = w.from.key, w.from.row
		return ok, err
	}
	if w.at == w.rows.Len() {
		return false, nil
	}
	w.key, w.row = w.rows.At(w.at)
	w.at++
	return true, nil
}

// sink moves the way at i behind those that come before it.
func (m *merger) sink(i int) {
	for next := 2*i + 1; next < len(m.ways); next = 2*i + 1 {
		if next+1 < len(m.ways) && m.ways[next+1].before(m.ways[next]) {
			next++
		}
		if m.ways[i].before(m.ways[next]) {
			return
		}
		m.ways[i], m.ways[next] = m.ways[next], m.ways[i]
		i = next
	}
}

func (w *way) before(o *way) bool {
	if w.head != o.head {
		return w.head < o.head
	}
	if c := bytes.Compare(w.key, o.key); c != 0 {
		return c < 0
	}
	return w.age > o.age
}

func (m *merger) close() {
	for _, w := range m.ways {
		if w.from != nil {
			_ = w.from.close() // it was only read
		}
	}
}

// each calls yield with the newest row of each key; nil is a delete.
func (m *merger) each(yield func(key, row []byte) error) error {
	var last []byte
	for any := false; len(m.ways) > 0; any = true {
		if top := m.ways[0]; !any || !bytes.Equal(top.key, last) {
			last = append(last[:0], top.key...)
			if err := yield(top.key, top.row); err != nil {
				return err
			}
		}
		if err := m.step(0); err != nil {
			return err
		}
	}
	return nil
}

// KeyHead gives the eight bytes of a key from depth on, zeros behind its end: keys that are the same up to depth come in its
// order, but for those whose heads are the same.
func KeyHead(key []byte, depth int) uint64 {
	if len(key)-depth >= 8 {
		return binary.BigEndian.Uint64(key[depth:])
	}
	var head [8]byte
	copy(head[:], key[min(depth, len(key)):])
	return binary.BigEndian.Uint64(head[:])
}
