package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

var epoch = time.Date(2020, 3, 5, 9, 0, 0, 0, time.UTC)

// ev is one event at a second; a scenario is a row of them.
func ev(second int, kind sshlog.Kind, user string) sshlog.Event {
	return sshlog.Event{Kind: kind, Address: "192.0.2.7", User: user, Host: "gate", Count: 1,
		Time: epoch.Add(time.Duration(second) * time.Second)}
}

func fails(seconds ...int) []sshlog.Event {
	var events []sshlog.Event
	for _, s := range seconds {
		events = append(events, ev(s, sshlog.Failed, "root"))
	}
	return events
}

func names(kind sshlog.Kind, first, n, every int) []sshlog.Event {
	var events []sshlog.Event
	for i := range n {
		events = append(events, ev(first+i*every, kind, fmt.Sprintf("user%02d", i)))
	}
	return events
}

// play applies the events and returns the row and what was raised, as
// "rule@second".
func play(events ...[]sshlog.Event) (row Attacker, raised []string) {
	for _, ev := range slices.Concat(events...) {
		var alerts []Alert
		row, alerts = apply(row, ev)
		for _, alert := range alerts {
			raised = append(raised, fmt.Sprintf("%s@%d", alert.Rule, int(alert.Time.Sub(epoch).Seconds())))
		}
	}
	return row, raised
}

func one(e sshlog.Event) []sshlog.Event { return []sshlog.Event{e} }

func repeated(second, n int) []sshlog.Event {
	e := ev(second, sshlog.Failed, "root")
	e.Count = n
	return one(e)
}

func TestApply_Rules(t *testing.T) {
	for name, c := range map[string]struct {
		events [][]sshlog.Event
		want   []string
	}{
		"four failures":                  {[][]sshlog.Event{fails(0, 1, 2, 3)}, nil},
		"five within 60 s":               {[][]sshlog.Event{fails(0, 15, 30, 45, 60)}, []string{"brute-force@60"}},
		"five within 61 s":               {[][]sshlog.Event{fails(0, 15, 30, 45, 61)}, nil},
		"five, the first too old":        {[][]sshlog.Event{fails(0, 50, 60, 70, 80, 90)}, []string{"brute-force@90"}},
		"one line repeated":              {[][]sshlog.Event{repeated(0, 5)}, []string{"brute-force@0"}},
		"one alert while it lasts":       {[][]sshlog.Event{fails(0, 1, 2, 3, 4, 5, 60, 119, 178)}, []string{"brute-force@4"}},
		"quiet, then again":              {[][]sshlog.Event{fails(0, 1, 2, 3, 4, 64, 65, 66, 67, 68)}, []string{"brute-force@4", "brute-force@68"}},
		"quiet that was not long enough": {[][]sshlog.Event{fails(0, 1, 2, 3, 4, 63, 64, 65, 66, 67)}, []string{"brute-force@4"}},
		"a clock set back":               {[][]sshlog.Event{fails(3000, 3100, 3200, 3300, 10)}, nil},

		"nine users":                     {[][]sshlog.Event{names(sshlog.InvalidUser, 0, 9, 100)}, nil},
		"ten users":                      {[][]sshlog.Event{names(sshlog.InvalidUser, 0, 10, 100)}, []string{"user-enumeration@900"}},
		"ten users, with passwords":      {[][]sshlog.Event{names(sshlog.Failed, 0, 10, 100)}, []string{"user-enumeration@900"}},
		"ten users, each twice":          {[][]sshlog.Event{names(sshlog.InvalidUser, 0, 9, 0), names(sshlog.Failed, 1000, 10, 50)}, []string{"user-enumeration@1450"}},
		"no new user after quiet":        {[][]sshlog.Event{names(sshlog.InvalidUser, 0, 10, 0), names(sshlog.Failed, 1000, 10, 50)}, []string{"user-enumeration@0"}},
		"a new user after quiet":         {[][]sshlog.Event{names(sshlog.InvalidUser, 0, 10, 0), one(ev(100, sshlog.Failed, "new"))}, []string{"user-enumeration@0", "user-enumeration@100"}},
		"ten users at work":              {[][]sshlog.Event{names(sshlog.Accepted, 0, 10, 0)}, nil},
		"success after three":            {[][]sshlog.Event{fails(0, 200, 400), one(ev(600, sshlog.Accepted, "root"))}, []string{"compromise@600"}},
		"success after two":              {[][]sshlog.Event{fails(0, 200), one(ev(300, sshlog.Accepted, "root"))}, nil},
		"success too late":               {[][]sshlog.Event{fails(0, 200, 400), one(ev(601, sshlog.Accepted, "root"))}, nil},
		"success after a repeat":         {[][]sshlog.Event{repeated(0, 3), one(ev(1, sshlog.Accepted, "root"))}, []string{"compromise@1"}},
		"two successes":                  {[][]sshlog.Event{fails(0, 1, 2), one(ev(3, sshlog.Accepted, "root")), one(ev(4, sshlog.Accepted, "root"))}, []string{"compromise@3"}},
		"two warnings":                   {[][]sshlog.Event{one(ev(0, sshlog.BreakIn, "")), one(ev(59, sshlog.BreakIn, ""))}, []string{"break-in-attempt@0"}},
		"two warnings, quiet between":    {[][]sshlog.Event{one(ev(0, sshlog.BreakIn, "")), one(ev(60, sshlog.BreakIn, ""))}, []string{"break-in-attempt@0", "break-in-attempt@60"}},
		"two warnings, failures between": {[][]sshlog.Event{one(ev(0, sshlog.BreakIn, "")), fails(50), one(ev(100, sshlog.BreakIn, ""))}, []string{"break-in-attempt@0"}},
		"not counted":                    {[][]sshlog.Event{one(sshlog.Event{Kind: sshlog.Other, Host: "gate", Count: 1})}, nil},
	} {
		_, raised := play(c.events...)
		require.Equal(t, c.want, raised, name)
	}
}

func TestApply_Row(t *testing.T) {
	row, _ := play(fails(10), repeated(5, 5), one(ev(20, sshlog.InvalidUser, "bob")), one(ev(30, sshlog.Accepted, "ann")), one(ev(25, sshlog.BreakIn, "")))
	require.Equal(t, Attacker{
		Address: "192.0.2.7", Failures: 6, InvalidUsers: 1, Accepted: 1, BreakIns: 1,
		Users:     []string{"bob", "root"},
		FirstSeen: epoch.Add(5 * time.Second), LastSeen: epoch.Add(30 * time.Second),
		LastHost: "gate", LastOutcome: sshlog.Accepted,
	}, row.brief())
}

// The rules are judged for each logging host alone: five failures on two hosts
// are no brute force, and both hosts alert.
func TestApply_HostsApart(t *testing.T) {
	other := fails(0, 1, 2)
	for i := range other {
		other[i].Host = "vault"
	}
	_, raised := play(fails(0, 1, 2), other)
	require.Empty(t, raised)
	_, raised = play(fails(0, 1, 2), other, fails(3, 4), other[:2])
	require.Equal(t, []string{"brute-force@4", "brute-force@1"}, raised)
}

// However the lines of several hosts are mixed on their way, and wherever a
// commit falls (which is a round through JSON here), row and alerts are the same.
func TestApply_SameWhateverTheMix(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	hosts := make([][]sshlog.Event, 5)
	for i := range hosts {
		hosts[i] = randomEvents(rng, fmt.Sprintf("host%d", i), 300)
	}
	var wantRow Attacker
	var wantAlerts map[alertID]Alert
	for round := range 6 {
		var row Attacker
		var all []Alert
		for _, ev := range mix(rng, hosts) {
			if rng.IntN(20) > 0 {
				var alerts []Alert
				row, alerts = apply(row, ev)
				all = append(all, alerts...)
				continue
			}
			before := encode(t, row)
			next, alerts := apply(row, ev)
			require.Equal(t, before, encode(t, row), "apply changed the row it was given")
			row, all = decode(t, encode(t, next)), append(all, alerts...)
		}
		if round == 0 {
			wantRow, wantAlerts = row, byID(all)
			require.NotEmpty(t, wantAlerts)
			continue
		}
		require.JSONEq(t, encode(t, wantRow), encode(t, row))
		require.Equal(t, wantAlerts, byID(all))
	}
}

func randomEvents(rng *rand.Rand, host string, n int) []sshlog.Event {
	kinds := []sshlog.Kind{sshlog.Failed, sshlog.Failed, sshlog.Failed, sshlog.InvalidUser, sshlog.Accepted, sshlog.BreakIn}
	var events []sshlog.Event
	second := 0
	for range n {
		second += rng.IntN(30) - 3
		if rng.IntN(20) == 0 {
			second += 70
		}
		e := ev(second, kinds[rng.IntN(len(kinds))], fmt.Sprintf("user%d", rng.IntN(300)))
		e.Host, e.Count = host, 1+rng.IntN(2)
		events = append(events, e)
	}
	return events
}

// mix keeps the order of each host.
func mix(rng *rand.Rand, hosts [][]sshlog.Event) []sshlog.Event {
	left := slices.Clone(hosts)
	var all []sshlog.Event
	for len(left) > 0 {
		i := rng.IntN(len(left))
		all = append(all, left[i][0])
		if left[i] = left[i][1:]; len(left[i]) == 0 {
			left = slices.Delete(left, i, i+1)
		}
	}
	return all
}

func encode(t *testing.T, row Attacker) string {
	t.Helper()
	text, err := json.Marshal(row)
	require.NoError(t, err)
	return string(text)
}

func decode(t *testing.T, text string) (row Attacker) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &row))
	return row
}

// An attacker who uses every host, name and trick cannot grow a row without
// end, and is still seen on a host that came too late for rules of its own.
func TestApply_RowIsBounded(t *testing.T) {
	var row Attacker
	var last []Alert
	for host := range 2 * maxHosts {
		for i := range 2 * maxHostUsers {
			e := ev(host*1000+i, sshlog.Failed, fmt.Sprintf("%04d%04d", host, i)+strings.Repeat("<", sshlog.MaxUser-8))
			e.Host = fmt.Sprintf("%03d", host) + strings.Repeat("<", sshlog.MaxHost-3)
			var alerts []Alert
			if row, alerts = apply(row, e); len(alerts) > 0 {
				last = alerts
			}
		}
	}
	require.Len(t, row.Users, maxUsers)
	require.True(t, row.MoreUsers)
	require.Len(t, row.Hosts, maxHosts+1)
	require.EqualValues(t, 4*maxHosts*maxHostUsers, row.Failures)
	require.Less(t, len(encode(t, row)), 300_000)
	require.True(t, strings.HasPrefix(last[0].Host, fmt.Sprintf("%03d", 2*maxHosts-1)))
}

// A record processed twice raises the counts and nothing else that a reader sees.
func TestApply_TwiceRaisesCountsOnly(t *testing.T) {
	events := slices.Concat(fails(0, 1, 2, 3, 4), names(sshlog.InvalidUser, 5, 12, 1))
	once, _ := play(events)
	var twice Attacker
	for _, e := range events {
		twice, _ = apply(twice, e)
		twice, _ = apply(twice, e)
	}
	require.EqualValues(t, 10, twice.Failures)
	require.EqualValues(t, 24, twice.InvalidUsers)
	twice.Failures, twice.InvalidUsers = once.Failures, once.InvalidUsers
	require.Equal(t, once.brief(), twice.brief())
}

func TestTop(t *testing.T) {
	var rows []Attacker
	for i := range 500 {
		rows = append(rows, Attacker{Address: fmt.Sprintf("%03d", i), Failures: int64(i / 2), BreakIns: int64(i % 2)})
	}
	rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	var got []string
	for _, row := range top(slices.Values(rows), 3) {
		got = append(got, row.Address)
	}
	require.Equal(t, []string{"499", "498", "497"}, got)
	few := []Attacker{{Address: "a"}, {Address: "b", Failures: 1}, {Address: "c", BreakIns: 1}}
	require.Equal(t, few[1:], top(slices.Values(few), 3), "who did nothing is no suspect")
	require.Empty(t, top(slices.Values(rows), 0))
}

func TestAlert_String(t *testing.T) {
	require.Equal(t, `2020-03-05 09:00:00 user-enumeration from 192.0.2.7 on gate, 10 users, user "bob"`,
		Alert{Rule: Enumeration, Address: "192.0.2.7", Host: "gate", Time: epoch, User: "bob", Count: 10}.String())
	require.Equal(t, `2020-03-05 09:00:00 break-in-attempt from 192.0.2.7 on gate, 1 failure`,
		Alert{Rule: BreakInAttempt, Address: "192.0.2.7", Host: "gate", Time: epoch, Count: 1}.String())
}
