// Package workload is what bench measures: the topics, and the programs that read them. tarn, goka and Kafka Streams do the
// same work; floors (sarama, fetch, leveldb) show what a part of it costs without the rest. Each runs in a process of its own,
// so that its processor time and its peak memory are its own, and Measure holds it to what it had to do.
package workload
