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
	// GET /ready: 503
	//   [
	//     {
	//       "group": "sessions",
	//       "kind": "processor",
	//       "why": "not started"
	//     }
	//   ]
	// event: session-seconds/0: rebuild: no checkpoint
	// event: logins/0@1: skip: topology: value cannot be decoded: codec: int64: 7 bytes where 8 are expected
	// GET /ready: 200
	//   []
	// GET /metrics: 200
	//   tarn_input_lag{group="sessions",partition="0",topic="logins"} 0
	//   tarn_records_total{group="sessions"} 3
	//   tarn_skipped_records_total{group="sessions"} 1
}
