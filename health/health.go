// Package health answers whether Processors and Views are ready, for a load balancer or an orchestrator.
//
//	http.Handle("GET /ready", health.Handler(p, view))
package health

import (
	"encoding/json"
	"net/http"

	"github.com/tarnstream/tarn/observe"
)

// Handler answers 200 when every source is ready, and 503 when one is not. The body is a JSON list of observe.Reason, one
// for each thing that is not ready: [] when all are. It reads what is known in this process and asks nobody, so that it may
// be called as often as one likes.
func Handler(sources ...observe.Source) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reasons := []observe.Reason{}
		for _, s := range sources {
			reasons = append(reasons, s.Stats().Unready()...)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if len(reasons) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		_ = out.Encode(reasons) // who asked has gone
	})
}
