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
	// 09:20: 2 sessions visited, open: ada (1) bob (1)
	// 10:00: 3 sessions visited, open: bob (2) eve (1)
	// 10:40: 2 sessions visited, open:
}
