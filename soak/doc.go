// Command soak runs two instances of a group that join and leave at random under load, and then looks whether anything is
// lost, wrong or left behind.
//
//	go run ./soak                          # a minute
//	go run ./soak -for 10m -seed 7         # the same script of events again, not the same interleaving
//
// Everything is real: time, TCP, disks, and processes that are killed with -9. It ends with status 1 when a record is lost,
// when a table differs from the fold of its topic or from what was sent, when an instance ends by itself, or when a
// goroutine or a file handle is left.
//
// With -freeze processes are also stopped for longer than their session, as a machine that is suspended. One that is
// stopped between its last look at the clock and its request may then write over what others have written meanwhile: only
// transactions rule that out. Such a soak can fail, if seldom.
package main
