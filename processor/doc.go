// Package processor runs a group that package topology described: membership, restore, processing, commit, flush, stop.
//
//	p, err := processor.New(group, processor.Brokers("localhost:9092"), processor.StateDir("./state"))
//	err = p.Run(ctx)
//
// Nothing is started and no network is touched before Run. A View follows a table in a process that does not write it;
// an Emitter writes to a stream from outside a group; a Client lets several of them share connections; CreateTopics makes
// topics ahead of time.
//
// The guarantee is exactly-once: what the records of a commit change and emit, and their offsets, are one transaction of Kafka.
// With AtLeastOnce every record's effects are in Kafka before the record's offset is committed: after a crash some may be there
// twice; none is lost. Readers outside a callback see committed state only.
// Changes of one key within a commit become one record of the table's topic, so its consumers do not see every value
// between.
package processor
