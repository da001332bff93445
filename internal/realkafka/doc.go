// Package realkafka runs Apache Kafka brokers as processes on 127.0.0.1, for tests: one, or a cluster of three, in KRaft
// mode. It needs Java 17 or newer and Maven, which brings Kafka's jars; no Docker.
//
//	if err := realkafka.Missing(); err != nil {
//		t.Skip(err)
//	}
//	cluster, err := realkafka.Start(ctx, realkafka.Options{Brokers: 3})
//	defer cluster.Close()
//	cluster.Broker(2).Kill()
//
// Brokers compact, delete and expire within seconds where a topic asks for it (segment.ms and the like: CompactSoon), which
// on a default broker takes a quarter of an hour. Everything lies in one folder; a broker keeps its port and its data through
// Stop, Kill and Start. Brokers end with the process that started them, however that ends (on Linux).
package realkafka
