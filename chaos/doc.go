// Command chaos runs the processes of a group on a real Apache Kafka of three brokers, kills, freezes and starves all of
// them at random under load, and then looks whether every input was counted once.
//
//	go run ./chaos -for 5m                                  # needs Java 17 and Maven
//	go run ./chaos -for 30m -seed 7 -guarantee at-least-once
//
// Inputs are numbered by key. The group counts them into a table and tells of each in an output: key, number, count. A
// consumer of the broker's records that knows nothing of tarn compares both with what was sent. It ends with status 1, and
// with the first differences, when an input is lost, counted twice (not with at-least-once) or out of order, when a table
// differs from the fold of its topic, when a process ends by itself, or when the group makes no progress any more.
//
// Two scripts run beside each other, both drawn from the seed: one of processes (killed, stopped, frozen for longer than
// their session, started without their state, records deleted ahead of them, disk full) and one of brokers (killed: any, the
// group's coordinator, a transaction's coordinator). The same seed gives the same scripts, not the same interleaving.
package main
