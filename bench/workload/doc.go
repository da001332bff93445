// Package workload is what bench measures: the topics, and the programs that read them. tarn and goka do the same work,
// and a reader shows what doing none costs. Each runs in a process of its own, so that its processor time and its peak
// memory are its own.
package workload
