package main

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"), // ends a second after its DB
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))  // sarama's, for the life of the process
}

func Example() {
	main()
	// Output:
	// changed: tea from 0 to 250
	// Kafka is away: no answer where a price must be fresh
	// Kafka is away: tea is 250
	// changed: tea from 250 to 275
	// Kafka is back: tea is 275
}
