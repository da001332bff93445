package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/health"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"),
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// fixed is a source that stands still.
type fixed observe.Stats

func (f fixed) Stats() observe.Stats { return observe.Stats(f) }

func ask(t *testing.T, h http.Handler) (int, []observe.Reason) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/ready", nil))
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var reasons []observe.Reason
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &reasons))
	require.NotNil(t, reasons, "a list, also when it is empty")
	return w.Code, reasons
}

func TestHandler(t *testing.T) {
	ready := fixed{Group: "a", Kind: observe.KindProcessor, State: observe.StateRunning}
	stopped := fixed{Group: "b", Kind: observe.KindView, State: observe.StateStopped, Err: errors.New("no")}
	code, reasons := ask(t, health.Handler(ready))
	require.Equal(t, http.StatusOK, code)
	require.Empty(t, reasons)
	code, reasons = ask(t, health.Handler(ready, stopped))
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, []observe.Reason{{Group: "b", Kind: "view", Why: "stopped: no"}}, reasons)
	code, _ = ask(t, health.Handler())
	require.Equal(t, http.StatusOK, code)
}

var (
	clicks = topology.NewStream("clicks", codec.String)
	counts = topology.NewTable("counts", codec.Int64)
)

// A processor and a view over their life, from before the start to after the stop.
func TestHandler_OverALife(t *testing.T) {
	g, err := topology.Define("clicker", topology.Persist(counts), topology.Input(clicks, func(ctx *topology.Context, v string) error {
		return counts.Set(ctx, 1)
	}))
	require.NoError(t, err)
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		first := k.StartAs("first", g, processor.AtLeastOnce())
		for i := range 10 {
			k.Send("clicks", fmt.Sprint("user-", i), "x")
		}
		k.Settle(g)
		require.NoError(k.T, first.Stop())

		view, err := processor.NewView(counts, k.Options("view")...)
		require.NoError(k.T, err)
		held := k.Broker.Hold(devbroker.Fetch, "counts")
		a := k.Launch("a", g)
		h := health.Handler(a.Processor, view)
		why := func() (all []string) {
			k.T.Helper()
			code, reasons := ask(k.T, h)
			require.Equal(k.T, code == http.StatusOK, len(reasons) == 0)
			for _, r := range reasons {
				all = append(all, r.String())
			}
			return all
		}
		require.Contains(k.T, why(), "view counts: not started")
		<-held.Arrived()
		require.Equal(k.T, []string{"processor clicker, task 0, table counts: rebuild (no checkpoint): 0 % of 10 offsets",
			"view counts: not started"}, why())
		held.Release()
		<-a.Processor.Ready()
		ctx, cancel := context.WithCancel(k.T.Context())
		done := make(chan error, 1)
		go func() { done <- view.Run(ctx) }()
		<-view.Ready()
		require.Empty(k.T, why())

		a.Disconnect()
		k.Until("noticed", func() bool { return len(why()) > 0 })
		require.Equal(k.T, []string{"processor clicker: not in its group"}, why())
		a.Connect()
		k.Until("back", func() bool { return len(why()) == 0 })
		time.Sleep(time.Second)
		cancel()
		require.NoError(k.T, <-done)
		require.Equal(k.T, []string{"view counts: stopped"}, why())
	})
}

func ExampleHandler() {
	h := health.Handler(fixed{Group: "clicker", Kind: observe.KindProcessor, State: observe.StateJoining})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/ready", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 503 [
	//   {
	//     "group": "clicker",
	//     "kind": "processor",
	//     "why": "not in its group"
	//   }
	// ]
}
