// Package sshlog turns the syslog lines of an OpenSSH server into events.
//
// It is pure: no clock, no network, no state. The same line gives the same
// event, so a log may be read twice and parsed on any machine.
//
// Two kinds of time stamp are known: the classic "Dec 10 06:55:46", which has
// no year and takes the caller's, and RFC 3339 ("2026-01-05T08:00:00.5+01:00"),
// which newer rsyslogs write. A classic stamp is taken as UTC. A log that runs
// over New Year has to be split there and read with two years.
//
// A line's text is an attacker's choice in part: a user name may hold spaces,
// the words of another message, or bytes that are no text. Messages are
// therefore known by how they begin, the source address is read from the right
// where the name is free, and names are made printable before they leave the
// package.
package sshlog
