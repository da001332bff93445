package devbroker

import (
	"cmp"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The cluster's compaction leaves no trace of what it removed, whereas Kafka keeps every offset: a batch that lost all
// of its records may stay, with its offsets and no record in it. Therefore the records to be missed stay in the cluster's
// log, and answers to fetches leave them out.

// hollow is what Hollow and Clean took out of each partition.
type hollow struct {
	mu    sync.Mutex
	spans map[place][]span
}

// span is [from, to). What Clean took out it took because of newer records: by is the last of them, and without it the span
// comes back. It is negative for what Hollow took out.
type span struct{ from, to, by int64 }

// Hollow takes the records with offsets in [from, to) out of a partition as Kafka's own compaction does: offsets and
// bounds stay, a batch that keeps some records keeps its offsets, one that keeps none is delivered without records, and
// a fetch answer that begins with such batches ends behind them, as at a segment's end. Markers of transactions stay.
// What was taken out comes back when the broker is started again on the same Dir.
func (b *Broker) Hollow(topic string, partition int32, from, to int64) error {
	if _, err := b.Bounds(topic, partition); err != nil {
		return err
	}
	b.hollow.add(place{topic, partition}, []span{{from, to, -1}})
	b.watch(Fetch)
	return nil
}

// Clean compacts a partition as Kafka does: below the last stable offset, each record whose key has a newer committed
// one is taken out, as by Hollow. Tombstones stay, as they do until delete.retention.ms has passed. Where Truncate takes the
// newer record away, the older one is back: the new leader has compacted a log of its own, in which the newer never was.
func (b *Broker) Clean(topic string, partition int32) error {
	records, err := b.Records(topic, partition)
	if err != nil {
		return err
	}
	newest := map[string]int64{}
	for _, r := range records {
		newest[string(r.Key)] = r.Offset
	}
	var old []span
	for _, r := range records {
		if by := newest[string(r.Key)]; by != r.Offset {
			old = append(old, span{r.Offset, r.Offset + 1, by})
		}
	}
	b.hollow.add(place{topic, partition}, old)
	b.watch(Fetch)
	return nil
}

// add merges spans that go together.
func (h *hollow) add(at place, more []span) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := append(slices.Clone(h.spans[at]), more...)
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var merged []span
	for _, s := range all {
		if n := len(merged); n > 0 && s.from <= merged[n-1].to && s.by == merged[n-1].by {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	if h.spans == nil {
		h.spans = map[place][]span{}
	}
	h.spans[at] = merged
}

func (h *hollow) forget(topic string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for at := range h.spans {
		if at.topic == topic {
			delete(h.spans, at)
		}
	}
}

// cut forgets what was taken out from offset on, or because of a record from there on.
func (h *hollow) cut(at place, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var kept []span
	for _, s := range h.spans[at] {
		if s.to = min(s.to, offset); s.from < s.to && s.by < offset {
			kept = append(kept, s)
		}
	}
	if kept != nil {
		h.spans[at] = kept
	} else {
		delete(h.spans, at)
	}
}

func (h *hollow) of(topic string, partition int32) []span {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.spans[place{topic, partition}]
}

// touches reports whether a fetch may meet what was taken out.
func (h *hollow) touches(f *kmsg.FetchRequest) bool {
	for _, t := range f.Topics {
		for _, p := range t.Partitions {
			if h.of(t.Topic, p.Partition) != nil {
				return true
			}
		}
	}
	return false
}

func (h *hollow) rewrite(c *kfake.Cluster, f *kmsg.FetchResponse) {
	for i := range f.Topics {
		t := &f.Topics[i]
		name := t.Topic
		if name == "" {
			if info := c.TopicIDInfo(t.TopicID); info != nil {
				name = info.Topic
			}
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			p.RecordBatches = h.hide(name, p.Partition, p.RecordBatches)
		}
	}
}

// hide gives a partition's batches without the records that were taken out.
func (h *hollow) hide(topic string, partition int32, raw []byte) []byte {
	spans := h.of(topic, partition)
	if spans == nil {
		return raw
	}
	out := []byte{}
	leading := true // all batches so far are without records
	for {
		batch, own, rest, ok := nextBatch(raw)
		if !ok {
			return out
		}
		kept, emptied := thin(batch, own, spans)
		if !emptied && leading && len(out) > 0 {
			return out
		}
		leading = leading && emptied
		out, raw = append(out, kept...), rest
	}
}

// thin gives a batch without the records in spans, and whether none is left.
func thin(batch kmsg.RecordBatch, own []byte, spans []span) (kept []byte, emptied bool) {
	first, last := batch.FirstOffset, batch.FirstOffset+int64(batch.LastOffsetDelta)
	hit := slices.ContainsFunc(spans, func(s span) bool { return s.from <= last && first < s.to })
	if !hit || batch.Attributes&attrControl != 0 {
		return own, false
	}
	records, err := decode(batch)
	if err != nil {
		return own, false // a batch that cannot be read is the client's to meet
	}
	batch.Records, batch.NumRecords = nil, 0
	batch.Attributes &^= attrCompression
	for _, r := range records {
		if !covers(spans, first+int64(r.OffsetDelta)) {
			batch.Records = appendRecord(batch.Records, r)
			batch.NumRecords++
		}
	}
	if batch.NumRecords == 0 {
		batch.FirstTimestamp = batch.MaxTimestamp
	}
	return seal(batch), batch.NumRecords == 0
}

func covers(spans []span, offset int64) bool {
	i, found := slices.BinarySearchFunc(spans, offset, func(s span, o int64) int { return cmp.Compare(s.from, o) })
	return found || i > 0 && offset < spans[i-1].to
}
