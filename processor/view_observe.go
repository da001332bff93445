package processor

import (
	"sync"

	"github.com/tarnstream/tarn/observe"
)

// viewMeter is what Stats tells of a view.
type viewMeter struct {
	mu         sync.Mutex
	state      string
	err        error
	partitions []*tableMeter
}

func (m *viewMeter) enter(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = state
}

// running notes the number of partitions.
func (m *viewMeter) running(at observe.Place, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.partitions = observe.StateRunning, make([]*tableMeter, n)
	for p := range m.partitions {
		at.Partition = int32(p)
		m.partitions[p] = newTableMeter(observe.RoleViewed, at)
	}
}

func (m *viewMeter) end(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.err = observe.StateStopped, err
	return err
}

func (m *viewMeter) partition(p int32) *tableMeter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.partitions[p]
}

// Stats tells what the View has done and where it stands, without asking anybody. Every partition is a task.
func (v *View[T]) Stats() observe.Stats {
	v.meter.mu.Lock()
	defer v.meter.mu.Unlock()
	s := observe.Stats{Group: v.name, Kind: observe.KindView, State: v.meter.state, Err: v.meter.err, Tasks: map[int32]observe.TaskStats{}}
	if s.State == observe.StateRunning {
		s.Memory = v.budget.stats(v.reader)
	}
	for n, m := range v.meter.partitions {
		s.Restored += m.applied()
		if s.State != observe.StateRunning {
			continue
		}
		t := m.stats()
		if cause, stale := (*v.parts.Load())[n].stale(); stale {
			t.Stale, t.Cause = true, cause
			if t.Lag == 0 { // reads do not show it
				t.Lag = observe.Unknown
			}
		}
		s.Tasks[int32(n)] = observe.TaskStats{State: m.state(), Tables: []observe.TableStats{t}}
	}
	return s
}

// Lag is Stats' own: how many offsets the view is behind its table's topic, from what is known here.
func (v *View[T]) Lag() (offsets int64, known bool) { return v.Stats().Lag() }
