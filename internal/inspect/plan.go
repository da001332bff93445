package inspect

import (
	"context"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/state"
)

// Planned is what a start would do with one store.
type Planned struct {
	Table     string `json:"table"`
	Partition int32  `json:"partition"`
	// Decision is ready, resume, verify or rebuild; "unknown" where Cause says why nothing can be told.
	Decision string `json:"decision"`
	Cause    string `json:"cause"`
	// Offsets of [From, To) are read: as many records at most.
	From    int64 `json:"from"`
	To      int64 `json:"to"`
	Records int64 `json:"records"`
	// Sweep is the log start below which rows are removed, -1 for none.
	Sweep int64 `json:"sweep"`
	// ChecksEpoch says that the epoch of the last applied record is compared first: another one leads to a rebuild.
	ChecksEpoch bool `json:"checksEpoch,omitempty"`
	// SetsAside says that what is on disk goes into quarantine.
	SetsAside bool `json:"setsAside,omitempty"`
}

// Plan tells what a start at the time now would do with each store of g. It asks for the logs' bounds and reads nothing of
// them, so that what only reading can tell (a hole in an old tail, another leader epoch) may still change it.
func (k *Kafka) Plan(ctx context.Context, g Group, now time.Time) ([]Planned, error) {
	all := []Planned{}
	for i := range g.Stores {
		s := &g.Stores[i]
		p, err := k.plan(ctx, s, now)
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			p = Planned{Decision: "unknown", Cause: err.Error(), From: state.UnknownOffset, To: state.UnknownOffset, Sweep: state.UnknownOffset}
		}
		p.Table, p.Partition = s.Table, s.Partition
		all = append(all, p)
	}
	return all, nil
}

func (k *Kafka) plan(ctx context.Context, s *Store, now time.Time) (Planned, error) {
	b, err := k.bounds(ctx, s)
	if err != nil {
		return Planned{}, err
	}
	p := b.Plan(s.raw, s.Checkpoint != nil, now)
	if p.Decision == 0 {
		return Planned{}, fmt.Errorf("inspect: %s", p.Cause)
	}
	out := Planned{Decision: p.Decision.String(), Cause: p.Cause, From: p.Position, To: p.End, Records: p.End - p.Position, Sweep: p.Sweep,
		ChecksEpoch: p.CheckEpoch, SetsAside: p.Quarantine}
	if s.err != nil {
		out.Cause, out.SetsAside = s.Fault, true
	}
	return out, nil
}

func (k *Kafka) bounds(ctx context.Context, s *Store) (state.Bounds, error) {
	topic, err := k.topicOf(ctx, s)
	if err != nil {
		return state.Bounds{}, err
	}
	log := k.log(topic, s.Partition)
	defer log.Close()
	return log.Bounds(ctx)
}
