// Package bubbletest runs a test in a bubble of virtual time (testing/synctest) with what Kafka clients and LevelDB need
// there.
package bubbletest

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metrics "github.com/rcrowley/go-metrics"

	"github.com/tarnstream/tarn/internal/invariant"
)

// Run is synctest.Test with three conditions met:
//
// sarama starts go-metrics' process-wide ticker with the first fetch of its own, whatever registry it is given, and a ticker keeps
// time from passing; so meters are switched off in this process. LevelDB's own goroutines end a moment after it is
// closed; so time passes after fn. Under the race detector one thread at a time runs Go code: the timers of a bubble
// share one context of the detector, which breaks when two threads run timers at once (golang/go#78156). Races are
// found all the same, since they are judged by order, not by time.
func Run(t *testing.T, fn func(*testing.T)) {
	t.Helper()
	stillMetrics()
	if invariant.Enabled {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(2 * time.Second)
		fn(t)
	})
}

var stillMetrics = sync.OnceFunc(func() { metrics.UseNilMetrics = true })
