package ldb

import (
	"bytes"
	"container/heap"
	"encoding/binary"
)

// merger walks over several runs at once, in internal key order.
type merger struct {
	ways []*way
	ends []*cursor
}

// way is a cursor at a row; head is the beginning of its key, for a quick look.
type way struct {
	*cursor
	head uint64
}

func (b *Builder) merger(runs []run) (*merger, error) {
	m := &merger{}
	for _, r := range runs {
		w := &way{cursor: b.read(r)}
		m.ends = append(m.ends, w.cursor)
		ok, err := w.step()
		if err != nil {
			m.close()
			return nil, err
		}
		if ok {
			m.ways = append(m.ways, w)
		}
	}
	heap.Init(m)
	return m, nil
}

func (w *way) step() (bool, error) {
	ok, err := w.next()
	if ok {
		var head [8]byte
		copy(head[:], userKey(w.key))
		w.head = binary.BigEndian.Uint64(head[:])
	}
	return ok, err
}

// next goes on behind the first row.
func (m *merger) next() error {
	ok, err := m.ways[0].step()
	if err != nil {
		return err
	}
	if ok {
		heap.Fix(m, 0)
	} else {
		heap.Pop(m)
	}
	return nil
}

func (m *merger) close() {
	for _, c := range m.ends {
		c.close()
	}
}

func (m *merger) Len() int      { return len(m.ways) }
func (m *merger) Swap(i, j int) { m.ways[i], m.ways[j] = m.ways[j], m.ways[i] }
func (m *merger) Push(any)      { panic("ldb: a merge gets no more ways") }

func (m *merger) Less(i, j int) bool {
	a, b := m.ways[i], m.ways[j]
	if a.head != b.head {
		return a.head < b.head
	}
	return internalOrder{}.Compare(a.key, b.key) < 0
}

func (m *merger) Pop() any {
	last := m.ways[len(m.ways)-1]
	m.ways = m.ways[:len(m.ways)-1]
	return last
}

// each calls yield with the newest row of each key.
func (m *merger) each(yield func(internal, row []byte) error) error {
	var last []byte
	for any := false; len(m.ways) > 0; any = true {
		top := m.ways[0]
		if key := userKey(top.key); !any || !bytes.Equal(key, last) {
			last = append(last[:0], key...)
			if err := yield(top.key, top.row); err != nil {
				return err
			}
		}
		if err := m.next(); err != nil {
			return err
		}
	}
	return nil
}
