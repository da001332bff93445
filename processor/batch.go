package processor

import (
	"unsafe"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// changelog is changes as the records of their table's topic.
type changelog struct {
	changes []scope.Change
	placed  []place
}

// place is where the log has n changes, the first of which is at an index.
type place struct {
	first, n int
	offset   int64
}

func changelogBatch(topic string, partition int32, changes []scope.Change) kafka.OutBatch {
	return kafka.OutBatch{Topic: topic, Partition: partition, Rows: &changelog{changes: changes}}
}

// Len implements kafka.Rows.
func (c *changelog) Len() int { return len(c.changes) }

// Row implements kafka.Rows.
func (c *changelog) Row(i int) kafka.OutRecord {
	ch := &c.changes[i]
	r := kafka.OutRecord{Key: bytesOf(ch.Key), Timestamp: ch.Timestamp}
	if !ch.Delete {
		r.Value = ch.Value
	}
	return r
}

// Placed implements kafka.Rows. The changes get their offsets later: others may be reading them.
func (c *changelog) Placed(first, n int, offset int64) {
	c.placed = append(c.placed, place{first, n, offset})
}

// settle writes the offsets into the changes.
func (c *changelog) settle() {
	for _, p := range c.placed {
		for i := range p.n {
			c.changes[p.first+i].Offset = p.offset + int64(i)
		}
	}
}

// emissionBatches groups emissions by output and partition; within one the order is kept.
func emissionBatches(env *environment, emitted []scope.Emission) []kafka.OutBatch {
	if len(emitted) == 0 {
		return nil
	}
	type place struct {
		output    int
		partition int32
	}
	var out []kafka.OutBatch
	at := map[place]int{}
	for _, e := range emitted {
		p := place{e.Output, env.group.Outputs[e.Output].Hash.Partition(bytesOf(e.Key), env.partitions[e.Output])}
		i, ok := at[p]
		if !ok {
			i = len(out)
			at[p] = i
			out = append(out, kafka.OutBatch{Topic: env.group.Outputs[p.output].Name, Partition: p.partition})
		}
		out[i].Records = append(out[i].Records, kafka.OutRecord{Key: bytesOf(e.Key), Value: e.Value,
			Headers: stateHeaders(e.Headers), Timestamp: e.Timestamp})
	}
	return out
}

// stateHeaders shares the headers' bytes.
func stateHeaders(hs []scope.Header) []state.Header {
	if len(hs) == 0 {
		return nil
	}
	out := make([]state.Header, len(hs))
	for i, h := range hs {
		out[i] = state.Header(h)
	}
	return out
}

// bytesOf is a key's bytes without a copy, for readers that change nothing. An empty key is not a null one.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}

// cloneBytes keeps the difference between null and empty.
func cloneBytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}
