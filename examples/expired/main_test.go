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
	// A firewall blocks the addresses of a table, which is what a compacted topic says: the newest record of each address.
	// Four times the topic's log is not what it was when the table was read last. Beside what tarn serves then stands what is
	// served without its check, by a client that keeps its rows and goes on reading where it stood, or where the log begins now.
	// The numbers are those of tarn's tests.
	//
	// R01  the log expired while the process was down
	//      the table: 10.0.0.1 (port scan), 10.0.0.2 (brute force), 10.0.0.3 (spam), read up to offset 3
	//      meanwhile: 10.0.0.2 is unblocked, 10.0.0.3 has another reason, 10.0.0.4 is new; then the records below offset 4 expire
	//      tarn:      rebuild: checkpoint 3 is below the log start 4
	//      address    tarn        without the check
	//      10.0.0.1   -           port scan     <- wrong: blocked, and the topic does not say so
	//      10.0.0.2   -           brute force   <- wrong: blocked, and the topic does not say so
	//      10.0.0.3   botnet      botnet
	//      10.0.0.4   port scan   port scan
	//
	// R02  the log expired under a restore
	//      the table: 10.0.0.1 (port scan), 10.0.0.2 (brute force), read up to offset 2
	//      meanwhile: 10.0.0.2 has another reason, 10.0.0.4 is new; the records below offset 3 expire while the restore is at offset 2
	//      tarn:      rebuild: checkpoint 2 is below the log start 3
	//      address    tarn        without the check
	//      10.0.0.1   -           port scan   <- wrong: blocked, and the topic does not say so
	//      10.0.0.2   botnet      botnet
	//      10.0.0.4   port scan   port scan
	//
	// R04  the topic was deleted and created again, and is longer now than what was read
	//      the table: 10.0.0.1 (port scan), 10.0.0.2 (brute force), read up to offset 2
	//      meanwhile: a new topic of the same name gets three rows
	//      tarn:      rebuild: topic was deleted and created again
	//      address    tarn        without the check
	//      10.0.0.1   -           port scan     <- wrong: blocked, and the topic does not say so
	//      10.0.0.2   botnet      brute force   <- wrong: the reason of before
	//      10.0.0.3   spam        -             <- wrong: not blocked
	//      10.0.0.4   port scan   port scan
	//
	// R06  the process was down for longer than tombstones are kept
	//      the table: 10.0.0.1 (port scan), 10.0.0.2 (brute force), read up to offset 2
	//      meanwhile: 10.0.0.1 is unblocked, 10.0.0.3 is new; compaction removes the row of 10.0.0.1 and later its tombstone, too
	//      tarn:      verify: the tail may be older than delete.retention.ms
	//      tarn:      rebuild: the tail has a hole in [2, 3) and is older than delete.retention.ms: a tombstone may be lost
	//      address    tarn          without the check
	//      10.0.0.1   -             port scan   <- wrong: blocked, and the topic does not say so
	//      10.0.0.2   brute force   brute force
	//      10.0.0.3   spam          spam
	//
	// Four times tarn served what the topic has. Without the check 7 addresses were wrong.
}
