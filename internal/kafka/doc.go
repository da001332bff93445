// Package kafka is tarn's Kafka client: membership, reader, producer and admin on sarama's low-level requests.
// It is the only importer of sarama and maps its errors to typed ones.
//
// A Client owns the connections. Each pair of broker and Purpose has a connection and a lock of its own, since a
// sarama Broker holds its lock while it waits for an answer: a commit must never stand behind a waiting join.
package kafka
