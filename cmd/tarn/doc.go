// Command tarn is tarn's command line.
//
//	tarn dev [-data DIR] [-port N] [-relaxed] [-verbose]
//	tarn state inspect DIR [-json]
//	tarn state plan DIR -brokers HOST:PORT,... [-json]
//	tarn state verify DIR -brokers HOST:PORT,... [-values text|json|int64] [-json]
//	tarn state export DIR [-table NAME] [-partition N] [-values text|json|int64]
//	tarn state reset DIR -brokers HOST:PORT,... [-delete-topics NAME,...] [-yes] [-json]
//
// dev runs a broker that speaks Kafka's protocol, for development only, until it is interrupted. Without -data it keeps
// everything in memory, which then grows with what is written.
//
// state looks after state directories: inspect tells what is on disk and who holds it, plan what a start would do with each
// store and why, verify compares each store with its topic, export writes the rows of a table. None of them touches anything
// there: no lock is taken and no file written. reset tells what it would remove of a stopped group, and removes it with -yes.
//
// The exit code is 0 after a clean end, 1 when something failed, and 2 when the command line is not understood.
package main
