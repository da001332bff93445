// Package task is the one place of tarn where goroutines are started: each has a name, an owner that waits for it,
// and a cause when it ends.
package task
