package streamtest

import (
	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/topology"
)

// Send writes records to a stream, or to the topic of a table as another writer would, each into the partition that its
// key belongs to by the handle's hash. They are acknowledged when Send returns.
func Send[T any](k *Kit, h Handle[T], records ...Record[T]) {
	k.t.Helper()
	spec := h.Spec()
	for _, r := range records {
		p, err := encode(h, r)
		if err != nil {
			k.t.Fatalf("streamtest: Send: %v", err)
		}
		if p.partition < 0 {
			p.partition = spec.Hash.Partition(p.Key, k.partitions(spec.Name))
		}
		k.check(k.Broker.Produce(spec.Name, p.partition, p.Record))
	}
}

// Send writes a record of any bytes to the partition its key belongs to by the default hash.
func (k *Kit) Send(topic, key, value string) {
	k.t.Helper()
	Send(k, Handle[[]byte](topology.NewStream(topic, codec.Bytes)), KV(key, []byte(value)))
}
