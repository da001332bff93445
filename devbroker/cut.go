package devbroker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cut is what a producer has left open in a partition.
type cut struct {
	place
	producer int64
	epoch    int16
}

// runningFile is in the folder while a broker runs on it: one that finds it at its start comes after a kill.
const runningFile = "running"

// cutOff finds the transactions that a kill of the broker has cut off.
func (b *Broker) cutOff() ([]cut, error) {
	if b.cfg.dir == "" {
		return nil, nil
	}
	if _, err := os.Stat(filepath.Join(b.cfg.dir, runningFile)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	logs, err := partitionDirs(b.cfg.dir)
	var all []cut
	for p, log := range logs {
		open, e := openIn(log)
		err = errors.Join(err, e)
		for producer, epoch := range open {
			all = append(all, cut{p, producer, epoch})
		}
	}
	return all, err
}

// openIn gives the producers of a log whose last transactional batch has no marker behind it.
func openIn(log string) (map[int64]int16, error) {
	segments, err := filepath.Glob(filepath.Join(log, "*.dat"))
	slices.SortFunc(segments, func(a, b string) int { return int(base(a) - base(b)) })
	open := map[int64]int16{}
	for _, s := range segments {
		raw, e := os.ReadFile(s)
		err = errors.Join(err, e)
		for batch, _, rest, ok := nextBatch(raw); ok; batch, _, rest, ok = nextBatch(rest) {
			switch {
			case batch.Attributes&attrControl != 0:
				delete(open, batch.ProducerID)
			case batch.Attributes&attrTransactional != 0:
				open[batch.ProducerID] = batch.ProducerEpoch
			}
		}
	}
	return open, err
}

func base(segment string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(filepath.Base(segment), ".dat"), 10, 64)
	return n
}

// abort writes the markers of transactions that were cut off, and notes that the broker runs. The cluster takes those for
// aborted, but leaves the log as it is: readers would take what the producer writes next for aborted, too, and the next kill
// would let the marker of its next transaction commit what was cut off.
func (b *Broker) abort(cuts []cut) error {
	for _, c := range cuts {
		part := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		part.Topic, part.Partitions = c.topic, []int32{c.partition}
		marker := kmsg.NewWriteTxnMarkersRequestMarker()
		marker.ProducerID, marker.ProducerEpoch = c.producer, c.epoch
		marker.Topics = append(marker.Topics, part)
		req := kmsg.NewPtrWriteTxnMarkersRequest()
		req.Version, req.Markers = 1, append(req.Markers, marker)
		res, err := b.askLeader(c.topic, c.partition, req)
		if err == nil {
			err = kerr.ErrorForCode(res.(*kmsg.WriteTxnMarkersResponse).Markers[0].Topics[0].Partitions[0].ErrorCode)
		}
		if err != nil {
			return fmt.Errorf("devbroker: abort what was cut off in %s/%d: %w", c.topic, c.partition, err)
		}
	}
	if b.cfg.dir == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(b.cfg.dir, runningFile), nil, 0o644)
}

// saved notes that the cluster has ended in order.
func (b *Broker) saved() error {
	if b.cfg.dir == "" {
		return nil
	}
	err := os.Remove(filepath.Join(b.cfg.dir, runningFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
