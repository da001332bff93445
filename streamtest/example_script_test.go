package streamtest_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// In a file of your own this is func TestVisitsUnderFaults(t *testing.T). Run it with -runs 100, and a failure again with -seed.
func testVisitsUnderFaults(t *testing.T) {
	group, err := topology.Define("visit-counter", topology.Input(visits, onVisit), topology.Persist(seen))
	if err != nil {
		t.Fatal(err)
	}
	streamtest.Play(t, func(k *streamtest.Kit) streamtest.Script {
		k.Topic("visits", 4)
		k.Start(group)

		// Beside what Check looks at anyway: every visit counts, some twice. It reads the topics that the broker has.
		k.Invariant("every visit is counted", func() error {
			sent := map[string]int64{}
			for _, r := range streamtest.Records(k, visits) {
				sent[r.Key]++
			}
			for user, n := range streamtest.FoldOf(k, seen) {
				if n < sent[user] {
					return fmt.Errorf("%s has %d visits of %d", user, n, sent[user])
				}
			}
			return nil
		})

		send := streamtest.Sends(visits, 20, func(r *rand.Rand) streamtest.Record[string] {
			return streamtest.KV(fmt.Sprintf("user-%d", r.IntN(30)), "/home")
		})
		send.Weight = 10 // beside the faults, each of which has 1
		return streamtest.Script{Steps: 30, CheckEvery: 5,
			Ops: append(streamtest.Faults(group, []string{"a", "b"}), send, streamtest.Advances(10*time.Second))}
	}, func(*testing.T) []devbroker.Option { return []devbroker.Option{devbroker.Brokers(3)} })
}

func ExamplePlay() {
	var t *testing.T // given by go test
	testVisitsUnderFaults(t)
}
