// Package streamtest tests groups: one callback in microseconds, or the whole group against an embedded broker in
// virtual time.
//
// # One callback
//
// A Context has the group's tables in memory. Call handles a record as a task does, all of its effects or none, and gives
// the callback's error; Rows and Records show what it has done:
//
//	c := streamtest.NewContext(t, group)
//	streamtest.Set(c, counts, "alice", 41)
//	err := streamtest.Call(c, clicks, streamtest.KV("alice", "/home"))
//	streamtest.Rows(c, counts)                                // map[alice:42]
//
// Visit runs a visit over the rows; Added shows what callbacks handed to an effect, and Commit does it.
//
// # A whole group
//
// Run starts a broker and calls a script. Around it everything is the real thing (processor, rebalances, LevelDB), save
// for network and clock: nothing waits, and an hour of heartbeats and time-outs takes about a second.
//
//	func TestClicks(t *testing.T) {
//		streamtest.Run(t, func(k *streamtest.Kit) {
//			k.Topic("clicks", 4)
//			a := k.Start(group)
//			streamtest.Send(k, clicks, streamtest.KV("alice", "/home"))
//			streamtest.Expect(k, alerts, streamtest.KV("alice", "first visit"))
//			k.Settle(group)                               // all input is handled and committed
//			streamtest.Rows(k, counts)                    // map[alice:1], in the topic and in the instance
//			a.Crash()                                     // as a loss of power would
//			k.Start(group)                                // goes on with what is on disk
//		})
//	}
//
// StartAs runs several instances side by side, each with a state folder of its name; Rebalance adds and removes them.
// Advance lets time pass, Until waits for anything. What goes wrong is scripted:
//
//	an instance   Stop, Crash, Disconnect, Zombie; SlowDisk and FailDisk of its name
//	a topic       Compact, Expire, Truncate, Recreate, OutOfRangeOnce, HangTransaction
//	the broker    FailNext, Delay; Kit.Broker has more: nodes and connections that break, leaders that move, requests held back
//
// Package devbroker lists where its broker differs from Apache Kafka. Check then holds the group to what is promised: each
// table is the fold of its topic, has no key that the topic has not, and no record of an input is lost. Invariant adds what
// the test knows beside that.
//
// # Scripts by chance
//
// Play draws a script from a seed, plays it in a Run and calls Check in between. Faults gives steps after which nothing may
// be lost, Losses those after which tables are still what their topics say; Sends makes input:
//
//	streamtest.Play(t, func(k *streamtest.Kit) streamtest.Script {
//		k.Topic("clicks", 4)
//		k.Start(group)
//		return streamtest.Script{Steps: 50, Ops: append(streamtest.Faults(group, []string{"a", "b"}), clicksByChance)}
//	}, nil)
//
// A failure prints the seed, the script and what happened; -seed plays it again, -runs n plays n scripts. Time is virtual, the
// order in which goroutines run is not: a script gives the same records and faults each time, not the same interleaving.
//
// The examples of Run, Instance.Crash and Play are whole tests.
//
// Values are typed by the handles a program has anyway. Where a test needs bytes that no codec makes, the methods Call,
// Send, Fold and Records take and give them raw.
package streamtest
