package processor

import (
	"sync/atomic"

	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
)

// keptTable is a table of a task as readers outside the task see it: what was there before while it is restored, where they
// allow that, and then what Kafka has of it.
type keptTable struct {
	part atomic.Pointer[part] // what the store is worth while it is restored; nil before it is open
	cell atomic.Pointer[cell] // nil until it is current
}

// observer listens to the restore.
func (k *keptTable) observer() state.Observer {
	return doubts(func(cause string) { k.part.Load().setDoubt(cause) })
}

func (k *keptTable) opened(p *part) { k.part.Store(p) }

func (k *keptTable) restored(c *cell) { k.cell.Store(c) }

func (k *keptTable) isCurrent() bool { return k.cell.Load() != nil }

// answer reads a row. Once it is current nobody else writes the table: what it answers has no age.
func (k *keptTable) answer(key string, reads []policy.Read) ([]byte, bool, error) {
	if c := k.cell.Load(); c != nil {
		policy.Staleness{}.Admit(reads...)
		return c.read(key, false)
	}
	p := k.part.Load()
	if p == nil {
		return nil, false, ErrNotReady
	}
	row, ok, err := p.get(bytesOf(key), reads)
	return row.Value, ok, err
}
