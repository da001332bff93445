package streamtest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/topology"
)

// handled is which records of its inputs a group has done with: a callback has returned nil for them, a policy has passed
// them, or they were told to be lost.
type handled struct {
	group *topology.Group // the user's, with callbacks that are watched

	mu     sync.Mutex
	inputs map[string]map[int32]map[int64]bool
	told   map[string]map[int32][]span
}

// span is a range of offsets: [from, to).
type span struct{ from, to int64 }

// watch gives what is known of a group.
func (k *Kit) watch(g *topology.Group) *handled {
	h := k.handled[g.Name()]
	if h == nil {
		h = &handled{inputs: map[string]map[int32]map[int64]bool{}, told: map[string]map[int32][]span{}}
		k.handled[g.Name()] = h
	}
	h.group = new(topology.Group) // a group may be defined anew under its name
	d := *g.Description()
	d.Inputs = append([]scope.Input{}, d.Inputs...)
	for i := range d.Inputs {
		d.Inputs[i].Call, d.Inputs[i].OnDelete = h.watched(d.Inputs[i].Call), h.watched(d.Inputs[i].OnDelete)
	}
	*h.group.Description() = d
	return h
}

func (h *handled) watched(call func(*scope.Frame) error) func(*scope.Frame) error {
	if call == nil {
		return nil
	}
	return func(f *scope.Frame) error {
		err := call(f)
		if r := f.Record(); err == nil {
			h.note(r.Topic, r.Partition, r.Offset)
		}
		return err
	}
}

func (h *handled) note(topic string, partition int32, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inputs[topic] == nil {
		h.inputs[topic] = map[int32]map[int64]bool{}
	}
	if h.inputs[topic][partition] == nil {
		h.inputs[topic][partition] = map[int64]bool{}
	}
	h.inputs[topic][partition][offset] = true
}

// observer notes what is passed without a callback.
func (h *handled) observer() observe.Observer {
	return observe.Observer{
		RecordError: func(e observe.RecordError) {
			if a := scope.Action(e.Action); a == scope.Skip || a == scope.DeadLetter {
				h.note(e.Topic, e.Partition, e.Offset)
			}
		},
		Reset: func(e observe.Reset) {
			if _, input := errors.AsType[*policy.InputError](e.Cause); input {
				h.tell(e.Place, span{e.From, e.To})
			}
		},
	}
}

func (h *handled) tell(at observe.Place, s span) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told[at.Topic] == nil {
		h.told[at.Topic] = map[int32][]span{}
	}
	h.told[at.Topic][at.Partition] = append(h.told[at.Topic][at.Partition], s)
}

// forget drops what is known of a partition from an offset on: it is not in the log any more.
func (h *handled) forget(topic string, partition int32, from int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for offset := range h.inputs[topic][partition] {
		if offset >= from {
			delete(h.inputs[topic][partition], offset)
		}
	}
	if from == 0 && h.told[topic] != nil {
		delete(h.told[topic], partition)
	}
}

// done tells whether the group has done with a record.
func (h *handled) done(topic string, partition int32, offset int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.told[topic][partition] {
		if s.from <= offset && offset < s.to {
			return true
		}
	}
	return h.inputs[topic][partition][offset]
}

// first is the first offset that the group has done with, false where there is none.
func (h *handled) first(topic string, partition int32) (int64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first, any := int64(0), false
	for offset := range h.inputs[topic][partition] {
		if !any || offset < first {
			first, any = offset, true
		}
	}
	return first, any
}

// lost gives the records that the group has committed and not handled.
func (k *Kit) lost(g *topology.Group) (lost []string) {
	k.t.Helper()
	info, err := k.Broker.Group(g.Name())
	k.check(err)
	h := k.handled[g.Name()]
	for _, in := range g.Description().Inputs {
		for p := range k.partitions(in.Name) {
			lost = append(lost, k.lostOf(h, &in, p, info.Commits[in.Name][p].Offset)...)
		}
	}
	return lost
}

func (k *Kit) lostOf(h *handled, in *scope.Input, p int32, committed int64) (lost []string) {
	k.t.Helper()
	records, err := k.Broker.Records(in.Name, p)
	k.check(err)
	begins, any := h.first(in.Name, p)
	for _, r := range records {
		passed := r.Value == nil && in.OnDelete == nil || in.Begin == scope.BeginLatest && (!any || r.Offset < begins)
		if r.Offset < committed && !passed && !h.done(in.Name, p, r.Offset) {
			lost = append(lost, fmt.Sprintf("\t%s/%d: offset %d, key %.64q", in.Name, p, r.Offset, r.Key))
		}
	}
	return lost
}
