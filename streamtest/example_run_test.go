package streamtest_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// A group that adds up what is paid, and reports each sum.
var (
	payments = topology.NewStream("payments", codec.Int64)
	sums     = topology.NewTable("sums", codec.Int64)
	reports  = topology.NewStream("reports", codec.Int64)
)

func onPayment(ctx *topology.Context, amount int64) error {
	sum, _, err := sums.Get(ctx)
	if err != nil {
		return err
	}
	return errors.Join(sums.Set(ctx, sum+amount), reports.Emit(ctx, ctx.Key(), sum+amount, ctx.Headers()...))
}

// In a file of your own this is func TestPayments(t *testing.T).
func testPayments(t *testing.T) {
	group, err := topology.Define("payments-sum", topology.Input(payments, onPayment), topology.Persist(sums), topology.Output(reports))
	if err != nil {
		t.Fatal(err)
	}
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("payments", 4)
		a := k.Start(group)

		streamtest.Send(k, payments,
			streamtest.KV[int64]("alice", 5),
			streamtest.KV[int64]("alice", 6).Header("trace", "7"),
			streamtest.KV[int64]("bob", 7).At(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)))

		// Expect waits in virtual time; the records of one key come in order.
		got := streamtest.Expect(k, reports, streamtest.KV[int64]("alice", 5), streamtest.KV[int64]("bob", 7), streamtest.KV[int64]("alice", 11))
		if h := got[2].Headers; len(h) != 1 || string(h[0].Value) != "7" {
			k.T.Errorf("headers are %v", h)
		}
		k.Settle(group)
		streamtest.Expect(k, reports) // nothing more

		// Rows are those of the table's topic, and the instance's own are compared with them.
		if rows := streamtest.Rows(k, sums); !maps.Equal(rows, map[string]int64{"alice": 11, "bob": 7}) {
			k.T.Errorf("sums are %v", rows)
		}
		k.Advance(10 * time.Minute) // of virtual time; flushes, heartbeats and time-outs happen
		if err := a.Stop(); err != nil {
			k.T.Error(err)
		}
	})
}

func ExampleRun() {
	var t *testing.T // given by go test
	testPayments(t)
}
