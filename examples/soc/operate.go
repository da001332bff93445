package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tarnstream/tarn/health"
	"github.com/tarnstream/tarn/metrics"
)

// operable adds to the pages of h what an operator asks for:
//
//	GET /ready    200, or 503 with a JSON list of what is not ready and why
//	GET /metrics  for Prometheus
//
// Both speak of the groups and views of the moment, which -expire starts more than once.
func operable(h http.Handler, t *table) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		parts := t.watched()
		if len(parts) == 0 {
			http.Error(w, "[]", http.StatusServiceUnavailable) // nothing is started yet
			return
		}
		health.Handler(parts...).ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		registry := prometheus.NewRegistry()
		registry.MustRegister(metrics.NewCollector(t.watched()...))
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
	return mux
}
