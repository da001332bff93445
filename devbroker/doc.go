// Package devbroker is a broker that speaks Kafka's protocol and lives inside the process. It is for development and
// for tests only: it has no replicas, no security to speak of, and nothing that a user of a real cluster relies on.
//
//	b, err := devbroker.Start(devbroker.Dir("./kafka"), devbroker.Port(9092))
//	defer b.Close()
//	b.CreateTopic("clicks", 4, nil)        // b.Addrs() is what a client connects to
//
// A test scripts what goes wrong: Fail answers requests with an error code, Drop closes their connection, Hold and
// HoldAnswer keep one until it is released, Delay has all of a kind wait, Stop and StopNode take nodes away, Begin leaves transactions open, Hollow
// and Clean leave a log as Kafka's own compaction does. What a test does through a Broker's methods (Produce, Records
// and so on) is never met by a fault and waits behind no hold.
//
// # Memory and disk
//
// Without Dir all data is in memory and stays there until retention or DeleteRecords removes it: a broker that runs
// long grows, by some 300 bytes for a record of 100. With Dir it is on disk and memory holds an index only. What was
// acknowledged survives a kill; options win over settings that were saved in the folder. A log start that was raised
// by DeleteRecords, and who leads a partition, are kept by a clean Close only.
//
// # Virtual time
//
// With Virtual nothing touches the operating system's network, so that a whole program and its broker run inside a
// testing/synctest bubble. Call Start and Close in the bubble, and connect through Dialer.
//
// # Where it differs from Kafka
//
//	what                                  | here                                            | Apache Kafka 4.3.0
//	Compact (and once an hour, save with  | raises the log start to the first batch kept,   | keeps offsets and emptied batches, has a delete
//	Virtual)                              | removes emptied batches, takes tombstones by    | horizon, stops at the last stable offset. Clean
//	                                      | the record's time, minds no open transaction    | and Hollow imitate it
//	InitProducerID after EndTxn           | no CONCURRENT_TRANSACTIONS, epoch + 1           | CONCURRENT_TRANSACTIONS, epoch + 2
//	InitProducerID with the epoch of an   | epoch + 1                                       | the same; 3.9.1: PRODUCER_FENCED
//	open transaction                      |                                                 |
//	AddPartitionsToTxn after EndTxn       | answered at once                                | CONCURRENT_TRANSACTIONS for 5 to 50 ms
//	OffsetFetch, RequireStable            | stable as soon as the commit is answered        | UNSTABLE_OFFSET_COMMIT for a moment
//	hanging transaction, 2 s time-out     | ended after 2.0 s                               | after 7.8 s (a scan every 10 s)
//	open transaction at a kill            | aborted when the broker comes back              | goes on until its time-out
//	static member back                    | a rebalance in which nothing moves              | no rebalance
//	member whose join cannot be answered  | stays until a rebalance runs out of time        | until its session ends
//	join while a rebalance waits          | the rebalance's time begins anew                | goes on
//	Fetch out of range                    | the true bounds in the answer                   | -1
//	DeleteRecords on a compacted topic    | allowed                                         | refused: needs compact,delete
//	null key on a compacted topic         | accepted                                        | refused
//	end of a segment                      | none                                            | a fetch stops there
//	new leader                            | any node, at once, nothing lost                 | a replica in sync
//	node that is down                     | keeps its partitions (MoveLeader moves them)    | others take over
//	truncation by an unclean election     | by Truncate, or by a copy of the folder that is | happens
//	                                      | put back (Reload)                               |
package devbroker
