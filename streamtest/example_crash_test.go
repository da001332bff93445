package streamtest_test

import (
	"testing"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// A group that counts visits.
var (
	visits = topology.NewStream("visits", codec.String)
	seen   = topology.NewTable("seen", codec.Int64)
)

func onVisit(ctx *topology.Context, _ string) error {
	n, _, err := seen.Get(ctx)
	if err != nil {
		return err
	}
	return seen.Set(ctx, n+1)
}

// In a file of your own this is func TestTakeover(t *testing.T).
func testTakeover(t *testing.T) {
	group, err := topology.Define("visit-counter", topology.Input(visits, onVisit), topology.Persist(seen))
	if err != nil {
		t.Fatal(err)
	}
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("visits", 4)
		users := []string{"alice", "bob", "carol", "dave"}
		visit := func(want int64) {
			k.T.Helper()
			for _, user := range users {
				streamtest.Send(k, visits, streamtest.KV(user, "/home"))
			}
			k.Settle(group)
			for user, n := range streamtest.Rows(k, seen) {
				if n < want {
					k.T.Errorf("%s has %d visits, not %d: one is lost", user, n, want)
				}
			}
		}
		a, b := k.StartAs("a", group), k.StartAs("b", group)
		k.Until("shared between two instances", func() bool { return a.Running() == 2 && b.Running() == 2 })
		visit(1)

		b.Crash() // like kill -9: b's tasks go to a once Kafka misses its heartbeats
		visit(2)

		b = k.StartAs("b", group) // with what b has on disk
		k.Broker.Fail(devbroker.Fault{Request: devbroker.Produce, Err: devbroker.NotLeader, Count: 3})
		visit(3)

		if err := a.Stop(); err != nil { // a clean stop gives the tasks away
			k.T.Error(err)
		}
		visit(4)
	})
}

func ExampleInstance_Crash() {
	var t *testing.T // given by go test
	testTakeover(t)
}
