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
	// R01  the log expired while the process was down
	//      down:  10.0.0.2 is unblocked, 10.0.0.3 has another reason, 10.0.0.4 is new; then old segments are deleted
	//      tarn:  rebuild: checkpoint 3 is below the log start 4
	//               10.0.0.3  botnet
	//               10.0.0.4  port scan
	//      without the check:
	//               10.0.0.1  port scan   <- the topic does not have it
	//               10.0.0.2  brute force   <- the topic does not have it
	//               10.0.0.3  botnet
	//               10.0.0.4  port scan
	//
	// R02  the log expired under a restore
	//      midway: two rows are read when the segment with them is deleted, and the log goes on behind it
	//      tarn:  rebuild: checkpoint 2 is below the log start 3
	//               10.0.0.2  botnet
	//               10.0.0.4  port scan
	//      without the check:
	//               10.0.0.1  port scan   <- the topic does not have it
	//               10.0.0.2  botnet
	//               10.0.0.4  port scan
	//
	// R04  the topic was deleted and created again, and is longer now than what was read
	//      down:  a new topic of the same name gets three rows
	//      tarn:  rebuild: topic was deleted and created again
	//               10.0.0.2  botnet
	//               10.0.0.3  spam
	//               10.0.0.4  port scan
	//      without the check:
	//               10.0.0.1  port scan   <- the topic does not have it
	//               10.0.0.2  brute force   <- the topic says botnet
	//               10.0.0.3  is missing   <- the topic says spam
	//               10.0.0.4  port scan
	//
	// R06  the process was down for longer than tombstones are kept
	//      down:  10.0.0.1 is unblocked, 10.0.0.3 is new; the log is compacted, and then the tombstone is removed, too
	//      tarn:  verify: the tail may be older than delete.retention.ms
	//      tarn:  rebuild: the tail has a hole in [2, 3) and is older than delete.retention.ms: a tombstone may be lost
	//               10.0.0.2  brute force
	//               10.0.0.3  spam
	//      without the check:
	//               10.0.0.1  port scan   <- the topic does not have it
	//               10.0.0.2  brute force
	//               10.0.0.3  spam
	//
	// four times, what tarn served was what the topic has
}
