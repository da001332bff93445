// Package e2e holds the tests that need a real Apache Kafka: the faults of the catalogue as brokers make them, with the
// cleaner, retention, elections and transactions as they are. They are built with the tag kafka, and start their brokers
// themselves (package realkafka: Java and Maven are needed):
//
//	go test -tags kafka -p 1 ./internal/realkafka ./internal/e2e
//
// Time is real here. What can be forced is forced: a test waits for what it can see in the log, never for a while.
package e2e
