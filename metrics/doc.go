// Package metrics gives what Processors and Views tell in Stats to Prometheus.
//
//	prometheus.MustRegister(metrics.NewCollector(p, view))
//
// docs/operating.md lists the metrics, and what to alarm on.
package metrics
