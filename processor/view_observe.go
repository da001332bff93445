package processor

import (
	"cmp"
	"sync/atomic"

	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// staleness counts the rebuilds of a partition, so that stale reads are told of once for each.
type staleness struct {
	rebuilds atomic.Int64
	told     atomic.Int64 // the newest rebuild whose stale reads were told of
}

// observer hears of rebuilds: each is planned before the store is stale for it.
func (s *staleness) observer() state.Observer {
	return state.Observer{Planned: func(p state.Plan) {
		if p.Decision == state.Rebuild {
			s.rebuilds.Add(1)
		}
	}}
}

// first is true once for each rebuild.
func (s *staleness) first() bool {
	n, told := s.rebuilds.Load(), s.told.Load()
	return told < n && s.told.CompareAndSwap(told, n)
}

// reading tells of a read that is answered from before a reset.
func (v *View[T]) reading(partition int32, s state.Store) {
	if cause, stale := s.Stale(); stale && v.stale[partition].first() {
		observe.Tell(v.conf.observe.StaleRead, observe.StaleRead{Place: v.place(partition), Cause: cause})
	}
}

// place names a partition in events.
func (v *View[T]) place(partition int32) observe.Place {
	return observe.Place{Group: cmp.Or(v.conf.viewName, v.table.Name()), Topic: v.table.Name(), Partition: partition}
}
