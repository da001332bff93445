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
	// GET /visitors/ada: 200 {"clicks":3,"last":"/order"}
	// GET /visitors/zoe: 404 nobody of that name has clicked
	// GET /visitors: 200 {"ada":{"clicks":3,"last":"/order"},"bob":{"clicks":1,"last":"/"}}
}
