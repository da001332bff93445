package inspect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tarnstream/tarn/internal/layout"
	"github.com/tarnstream/tarn/state"
)

// Reset is what a reset of a group or a view removes.
type Reset struct {
	Kind    string        `json:"kind"`
	Name    string        `json:"name"`
	Dir     string        `json:"dir"`
	Stores  []ResetStore  `json:"stores"`
	Offsets []ResetOffset `json:"offsets"`
	// Topics are to be deleted, Kept are those of the other tables in Stores.
	Topics []ResetTopic `json:"topics"`
	Kept   []string     `json:"kept"`
	Done   bool         `json:"done"`

	group Group
}

// ResetStore is a store on disk.
type ResetStore struct {
	Table     string `json:"table"`
	Partition int32  `json:"partition"`
	Bytes     int64  `json:"bytes"`
}

// ResetOffset is a committed position.
type ResetOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// ResetTopic is a topic with as many records at most. Other tells that its id is not the one that the stores have, Missing that
// it does not exist.
type ResetTopic struct {
	Name    string `json:"name"`
	Records int64  `json:"records"`
	Other   bool   `json:"other,omitempty"`
	Missing bool   `json:"missing,omitempty"`
}

// PlanReset tells what a reset of g would remove: its stores, what its group has committed, and topics, which must be those of
// tables that it has stores of. k may be nil for a view. It is refused while a process holds the folder (*state.LockedError) or
// the group has members, here or elsewhere.
func PlanReset(ctx context.Context, k *Kafka, g Group, topics []string) (Reset, error) {
	r := Reset{Kind: g.Kind, Name: g.Name, Dir: g.Dir, Stores: []ResetStore{}, Offsets: []ResetOffset{}, Topics: []ResetTopic{}, Kept: []string{}, group: g}
	if g.cut {
		return r, fmt.Errorf("inspect: the name of the %s is too long to be read from its folder %s", g.Kind, g.Dir)
	}
	if err := Idle([]Group{g}); err != nil {
		return r, err
	}
	for i := range g.Stores {
		s := &g.Stores[i]
		r.Stores = append(r.Stores, ResetStore{s.Table, s.Partition, s.Bytes})
		if !slices.Contains(topics, s.Table) && !slices.Contains(r.Kept, s.Table) {
			r.Kept = append(r.Kept, s.Table)
		}
		if s.cut {
			return r, fmt.Errorf("inspect: the name of the table is too long to be read from its folder %s", filepath.Dir(s.Dir))
		}
	}
	if g.Kind != "group" {
		if len(topics) > 0 {
			return r, errors.New("inspect: a view has no topics of its own")
		}
		return r, nil
	}
	if err := k.unused(ctx, g.Name); err != nil {
		return r, err
	}
	if err := k.addOffsets(ctx, &r); err != nil {
		return r, err
	}
	return r, k.addTopics(ctx, &r, topics)
}

// unused tells by an error that a group has members.
func (k *Kafka) unused(ctx context.Context, group string) error {
	members, err := k.client.GroupMembers(ctx, group)
	if err != nil {
		return err
	}
	if len(members) > 0 {
		return fmt.Errorf("inspect: group %s has members, stop them first: %s", group, strings.Join(members, ", "))
	}
	return nil
}

func (k *Kafka) addOffsets(ctx context.Context, r *Reset) error {
	found, err := k.client.AllOffsets(ctx, r.Name)
	if err != nil {
		return err
	}
	for _, topic := range slices.Sorted(maps.Keys(found)) {
		for _, p := range slices.Sorted(maps.Keys(found[topic])) {
			r.Offsets = append(r.Offsets, ResetOffset{topic, p, found[topic][p].Position})
		}
	}
	return nil
}

func (k *Kafka) addTopics(ctx context.Context, r *Reset, topics []string) error {
	found, err := k.client.Refresh(ctx, topics...)
	if err != nil {
		return err
	}
	for _, name := range topics {
		if !slices.ContainsFunc(r.Stores, func(s ResetStore) bool { return s.Table == name }) {
			return fmt.Errorf("inspect: %s is no table that %s has a store of", name, r.Dir)
		}
		t := ResetTopic{Name: name}
		var missing *state.TopicMissingError
		if t.Missing = errors.As(found[name].Err, &missing); !t.Missing && found[name].Err != nil {
			return found[name].Err
		}
		for p := range found[name].Partitions {
			log := k.log(name, int32(p))
			b, err := log.Bounds(ctx)
			log.Close()
			if err != nil {
				return err
			}
			t.Records += b.End - b.Start
			t.Other = t.Other || r.group.readAnother(name, b.TopicID)
		}
		r.Topics = append(r.Topics, t)
	}
	return nil
}

// readAnother tells whether a store of the table is of a topic with another id. Where an id is not known nothing is told.
func (g *Group) readAnother(table string, id state.TopicID) bool {
	none := state.TopicID{}
	return id != none && slices.ContainsFunc(g.Stores, func(s Store) bool {
		return s.Table == table && s.raw.TopicID != none && s.raw.TopicID != id
	})
}

// Do carries out a reset, with the folder's lock held. It may be done again after it has failed midway. What is committed goes
// first: Kafka refuses that while the group has members. The stores go last: they tell whose tables the topics are. A start in
// between finds tables without offsets or without a topic, both of which it refuses by default.
func (r *Reset) Do(ctx context.Context, k *Kafka) error {
	kind := layout.Groups
	if r.Kind != "group" {
		kind = layout.Views
	}
	dir, err := state.LockGroup(filepath.Dir(filepath.Dir(r.Dir)), kind, r.Name, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if err := r.remove(ctx, k, dir); err != nil {
		return errors.Join(err, dir.Close())
	}
	r.Done = true
	return dir.Close()
}

func (r *Reset) remove(ctx context.Context, k *Kafka, dir *state.GroupDir) error {
	if r.Kind == "group" {
		if err := k.client.DeleteGroup(ctx, r.Name); err != nil {
			return err
		}
	}
	var names []string
	for _, t := range r.Topics {
		names = append(names, t.Name)
	}
	if len(names) > 0 {
		if err := k.client.DeleteTopics(ctx, names...); err != nil {
			return fmt.Errorf("inspect: the group's offsets are deleted, topics and stores may not be; do it again: %w", err)
		}
	}
	for _, s := range r.Stores {
		if err := dir.Remove(s.Table, s.Partition); err != nil {
			return fmt.Errorf("inspect: stores are left; do it again: %w", err)
		}
	}
	return nil
}
