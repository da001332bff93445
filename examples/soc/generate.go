package main

import (
	"cmp"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

// What is generated: twenty minutes of three servers' logs.
const (
	generatedLines = 2000
	generatedTime  = 20 * time.Minute
)

// The attackers, from addresses set aside for documentation.
const (
	bruteForcer = "198.51.100.23"
	enumerator  = "203.0.113.77"
	intruder    = "198.51.100.99"
	impostor    = "203.0.113.150"
)

// generate yields lines as sshd writes them: people who log in, some after a
// mistyped password, a brute force, an enumeration, an impostor and a break-in
// that succeeds. Seed and year give the same lines every time.
func generate(seed uint64, year int) iter.Seq2[sshlog.Line, error] {
	return func(yield func(sshlog.Line, error) bool) {
		g := generator{
			rng:      rand.New(rand.NewPCG(seed, 1)),
			start:    time.Date(year, time.January, 5, 8, 0, 0, 0, time.UTC),
			pid:      20000,
			mistyped: make(map[string]bool),
		}
		g.bruteForce("web1")
		g.enumeration("mail1")
		g.impostor("web1")
		g.compromise("db1")
		for len(g.lines) < generatedLines {
			g.login()
		}
		slices.SortStableFunc(g.lines, func(a, b timedLine) int { return cmp.Compare(a.at, b.at) })
		for i, line := range g.lines {
			if !yield(sshlog.Line{Number: int64(i) + 1, Text: line.text}, nil) {
				return
			}
		}
	}
}

type timedLine struct {
	at   time.Duration
	text string
}

type generator struct {
	rng      *rand.Rand
	start    time.Time
	pid      int
	mistyped map[string]bool
	lines    []timedLine
}

// session writes the lines of one connection: one process on one host.
type session struct {
	g    *generator
	host string
	pid  int
	port int
	at   time.Duration
}

func (g *generator) session(host string, at time.Duration) *session {
	g.pid += 1 + g.rng.IntN(3)
	return &session{g: g, host: host, pid: g.pid, port: 32768 + g.rng.IntN(28000), at: at}
}

func (s *session) say(format string, args ...any) {
	text := fmt.Sprintf("%s %s sshd[%d]: %s", s.g.start.Add(s.at).Format(time.Stamp), s.host, s.pid, fmt.Sprintf(format, args...))
	s.g.lines = append(s.g.lines, timedLine{s.at, text})
}

// pause lets between low and high seconds pass.
func (s *session) pause(low, high int) {
	s.at += time.Duration(low+s.g.rng.IntN(high-low+1)) * time.Second
}

func (s *session) failed(user, address string) {
	s.say("pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=%s  user=%s", address, user)
	s.say("Failed password for %s from %s port %d ssh2", user, address, s.port)
}

func (s *session) open(method, user, address string) {
	s.say("Accepted %s for %s from %s port %d ssh2", method, user, address, s.port)
	s.say("pam_unix(sshd:session): session opened for user %s by (uid=0)", user)
}

func (s *session) close(user, address string) {
	s.say("Received disconnect from %s: 11: disconnected by user", address)
	s.say("pam_unix(sshd:session): session closed for user %s", user)
}

// login is somebody at work. Nobody mistypes twice: three failures and a login
// would be a compromise.
func (g *generator) login() {
	hosts := []string{"web1", "mail1", "db1"}
	staff := []string{"ada", "ben", "cleo", "dora", "emil", "fay", "gus", "hana", "ivo", "jun"}
	n := g.rng.IntN(len(staff))
	user, address := staff[n], fmt.Sprintf("192.0.2.%d", 10+n)
	s := g.session(hosts[g.rng.IntN(len(hosts))], time.Duration(g.rng.Int64N(int64(generatedTime))))
	method := "publickey"
	if g.rng.IntN(10) == 0 && !g.mistyped[user] {
		g.mistyped[user] = true
		s.failed(user, address)
		s.pause(2, 5)
		method = "password"
	}
	s.open(method, user, address)
	s.pause(5, 120)
	s.close(user, address)
}

// bruteForce tries passwords of root, a few seconds apart, until sshd hangs up,
// and comes again.
func (g *generator) bruteForce(host string) {
	at := 2 * time.Minute
	for range 12 {
		s := g.session(host, at)
		s.failed("root", bruteForcer)
		s.pause(8, 12)
		s.say("message repeated 5 times: [ Failed password for root from %s port %d ssh2]", bruteForcer, s.port)
		s.say("error: maximum authentication attempts exceeded for root from %s port %d ssh2 [preauth]", bruteForcer, s.port)
		s.say("Disconnecting: Too many authentication failures for root [preauth]")
		s.say("PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=%s  user=root", bruteForcer)
		s.pause(2, 9)
		at = s.at
	}
}

// enumeration tries names, too slowly for a brute force.
func (g *generator) enumeration(host string) {
	names := []string{"admin", "test", "oracle", "git", "ubuntu", "pi", "guest", "ftpuser", "nagios", "deploy", "jenkins", "minecraft", "support", "www"}
	g.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	at := 4 * time.Minute
	for _, name := range names {
		s := g.session(host, at)
		s.say("Invalid user %s from %s", name, enumerator)
		s.say("input_userauth_request: invalid user %s [preauth]", name)
		s.pause(1, 1)
		s.say("pam_unix(sshd:auth): check pass; user unknown")
		s.say("Failed password for invalid user %s from %s port %d ssh2", name, enumerator, s.port)
		s.say("Received disconnect from %s: 11: Bye Bye [preauth]", enumerator)
		s.pause(18, 26)
		at = s.at
	}
}

// impostor comes from an address whose name leads elsewhere.
func (g *generator) impostor(host string) {
	at := 7 * time.Minute
	for range 3 {
		s := g.session(host, at)
		s.say("reverse mapping checking getaddrinfo for mail.example.net [%s] failed - POSSIBLE BREAK-IN ATTEMPT!", impostor)
		s.pause(1, 2)
		s.say("Connection closed by %s [preauth]", impostor)
		s.pause(150, 200)
		at = s.at
	}
}

// compromise guesses right at the fifth try, minutes after the first.
func (g *generator) compromise(host string) {
	s := g.session(host, 11*time.Minute)
	for range 4 {
		s.failed("backup", intruder)
		s.pause(30, 50)
	}
	s.open("password", "backup", intruder)
	s.pause(60, 120)
	s.close("backup", intruder)
}
