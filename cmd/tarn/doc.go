// Command tarn is tarn's command line.
//
//	tarn dev [-data DIR] [-port N] [-relaxed] [-verbose]
//
// dev runs a broker that speaks Kafka's protocol, for development only, until it is interrupted. Without -data it keeps
// everything in memory, which then grows with what is written.
//
// The exit code is 0 after a clean end, 1 when something failed, and 2 when the command line is not understood.
package main
