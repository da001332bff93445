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
	// order 1 of Ada: 2 x a clock, 49.00
	// order 2 of Blaise: 1 x a sieve, 9.99
	// order 3 of somebody we do not know: 1 x a clock, 24.50
	// order 4 of somebody we do not know: abacus is not sold
}
