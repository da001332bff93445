// Command soc is a small security monitor: it reads the log of SSH servers,
// keeps a table of attackers by source address, and raises alerts.
//
// Two groups do the work. The first turns raw lines (topic auth-log, keyed by
// the logging host) into events (auth-events, keyed by the source address), and
// puts lines it cannot read on soc-rejects. The second keeps the table
// soc-attackers and writes soc-alerts, with what the table soc-assets knows of
// the host; that one is somebody else's, and filled here in his place.
//
// Everything that decides anything is a pure function and lives outside the
// groups: package sshlog reads a line, apply in detect.go moves an attacker's
// row on by one event. So the same code can count the input without Kafka
// (direct.go), and the summary can print the difference between the two.
package main
