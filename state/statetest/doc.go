// Package statetest holds the conformance suites for any state.Store and any state.Log, and FakeLog, a log in memory
// that a test scripts: markers, aborted and open transactions, deletion, compaction, truncation, recreation.
package statetest
