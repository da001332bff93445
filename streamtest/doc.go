// Package streamtest runs groups against an embedded broker in virtual time: real processor, reader, producer and
// LevelDB, no network, no waiting. An hour of time-outs takes a second.
//
//	func TestClicks(t *testing.T) {
//		streamtest.Run(t, func(k *streamtest.Kit) {
//			k.Topic("clicks", 4)
//			in := k.Start(group)
//			k.Send("clicks", "alice", "/home")
//			k.Settle(in)
//			require.Equal(t, "1", k.Fold("clicks-count")["alice"])
//		})
//	}
//
// The broker is a stand-in (see package devbroker for where it differs from Apache Kafka). Time is virtual, the order in
// which goroutines run is not.
package streamtest
