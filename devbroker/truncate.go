package devbroker

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Truncate takes the end of a partition's log away, from the batch that holds offset on, as an unclean election does: what
// was acknowledged is gone, and the next record gets the offset of one that is lost, under a higher leader epoch. It gives
// the log's end now. The broker needs a Dir, and is reloaded for it: see Reload for what does not outlive that.
//
// What producers wrote before is remembered all the same: one that goes on is not told that its sequence is out of order.
func (b *Broker) Truncate(topic string, partition int32, offset int64) (end int64, err error) {
	before, err := b.Bounds(topic, partition)
	if err != nil {
		return 0, err
	}
	if err := b.Reload(func(dir string) error { return cutLog(partitionDir(dir, topic, partition), offset) }); err != nil {
		return 0, err
	}
	if err := b.MoveLeader(topic, partition, before.Leader); err != nil {
		return 0, err
	}
	after, err := b.Bounds(topic, partition)
	if err != nil {
		return 0, err
	}
	b.hollow.cut(place{topic, partition}, after.End)
	return after.End, nil
}

// partitionDir is where the cluster keeps a partition.
func partitionDir(dir, topic string, partition int32) string {
	return filepath.Join(dir, "partitions", fmt.Sprintf("%s-%d", url.PathEscape(topic), partition))
}

// partitionDirs gives those that there are.
func partitionDirs(dir string) (map[place]string, error) {
	dirs, err := filepath.Glob(filepath.Join(dir, "partitions", "*"))
	found := map[place]string{}
	for _, d := range dirs {
		name := filepath.Base(d)
		i := strings.LastIndexByte(name, '-')
		topic, noName := url.PathUnescape(name[:max(i, 0)])
		n, noNumber := strconv.ParseInt(name[i+1:], 10, 32)
		if i >= 0 && noName == nil && noNumber == nil {
			found[place{topic, int32(n)}] = d
		}
	}
	return found, err
}

const indexEntry = 15 // bytes of an index file for a batch

// The cluster's snapshot of a partition names the sizes of its segments, and is not used where they differ: what it says
// beside them, the log start above all, would be lost. So it is cut, too. Fields that are not named here are kept.
type (
	snapshot map[string]json.RawMessage
	segment  struct {
		Base     int64 `json:"base_offset"`
		Size     int64 `json:"size"`
		MinEpoch int32 `json:"min_epoch,omitempty"`
		MaxEpoch int32 `json:"max_epoch,omitempty"`
	}
	abortedTxn struct {
		Producer int64 `json:"producer_id"`
		First    int64 `json:"first_offset"`
		Last     int64 `json:"last_offset"`
	}
)

// cutLog cuts the files of a partition of a cluster that is closed.
func cutLog(dir string, offset int64) error {
	name := filepath.Join(dir, "snapshot.json")
	raw, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // an empty log
	}
	if err != nil {
		return err
	}
	var snap snapshot
	var segments []segment
	var aborted []abortedTxn
	if err := errors.Join(json.Unmarshal(raw, &snap), field(snap, "segments", &segments), field(snap, "aborted_txns", &aborted)); err != nil {
		return err
	}
	for i := range segments {
		if err := segments[i].cut(dir, offset); err != nil {
			return err
		}
	}
	aborted = slices.DeleteFunc(aborted, func(a abortedTxn) bool { return a.Last >= offset })
	if snap["segments"], err = json.Marshal(segments); err != nil {
		return err
	}
	if snap["aborted_txns"], err = json.Marshal(aborted); err != nil {
		return err
	}
	if raw, err = json.Marshal(snap); err != nil {
		return err
	}
	return os.WriteFile(name, raw, 0o644)
}

func field(from snapshot, name string, to any) error {
	if from[name] == nil {
		return nil
	}
	return json.Unmarshal(from[name], to)
}

// cut keeps the batches of a segment that end below offset. An emptied segment stays: the cluster takes a log without one
// for new.
func (s *segment) cut(dir string, offset int64) error {
	name := filepath.Join(dir, fmt.Sprint(s.Base))
	raw, err := os.ReadFile(name + ".dat")
	if err != nil {
		return err
	}
	batches := 0
	s.Size = 0
	for rest := raw; ; batches++ {
		batch, own, next, ok := nextBatch(rest)
		if !ok || batch.FirstOffset+int64(batch.LastOffsetDelta) >= offset {
			break
		}
		s.Size, rest = s.Size+int64(len(own)), next
	}
	return errors.Join(os.Truncate(name+".dat", s.Size), os.Truncate(name+".idx", int64(batches)*indexEntry))
}
