package sshlog_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

const head = "Mar  5 09:08:07 gate sshd[321]: "

var at = time.Date(2020, 3, 5, 9, 8, 7, 0, time.UTC)

func event(kind sshlog.Kind, user, address string, count int) sshlog.Event {
	return sshlog.Event{Kind: kind, User: user, Address: address, Time: at, Host: "gate", PID: 321, Count: count}
}

func TestParse_Messages(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		want    sshlog.Event
	}{
		"failed":                {"Failed password for root from 192.0.2.7 port 51 ssh2", event(sshlog.Failed, "root", "192.0.2.7", 1)},
		"failed, unknown user":  {"Failed password for invalid user bob from 192.0.2.7 port 51 ssh2", event(sshlog.Failed, "bob", "192.0.2.7", 1)},
		"failed, empty name":    {"Failed password for invalid user  from 192.0.2.7 port 51 ssh2", event(sshlog.Failed, "", "192.0.2.7", 1)},
		"failed, space in name": {"Failed password for invalid user  01 from 192.0.2.7 port 51 ssh2", event(sshlog.Failed, " 01", "192.0.2.7", 1)},
		"failed, IPv6":          {"Failed password for root from 2001:DB8:0::1 port 51 ssh2", event(sshlog.Failed, "root", "2001:db8::1", 1)},
		"failed, mapped IPv4":   {"Failed password for root from ::ffff:192.0.2.7 port 51 ssh2", event(sshlog.Failed, "root", "192.0.2.7", 1)},
		"failed, host name":     {"Failed password for root from dsl-7.example.net port 51 ssh2", event(sshlog.Failed, "root", "dsl-7.example.net", 1)},
		"failed none":           {"Failed none for invalid user bob from 192.0.2.7 port 51 ssh2", event(sshlog.Other, "", "", 1)},
		"failed publickey":      {"Failed publickey for root from 192.0.2.7 port 51 ssh2: RSA SHA256:x", event(sshlog.Other, "", "", 1)},
		"repeated":              {"message repeated 5 times: [ Failed password for root from 192.0.2.7 port 51 ssh2]", event(sshlog.Failed, "root", "192.0.2.7", 5)},
		"repeated other":        {"message repeated 5 times: [ Connection closed by 192.0.2.7 [preauth]]", event(sshlog.Other, "", "", 1)},
		"accepted":              {"Accepted password for ann from 192.0.2.7 port 51 ssh2", event(sshlog.Accepted, "ann", "192.0.2.7", 1)},
		"accepted key":          {"Accepted publickey for ann from 192.0.2.7 port 51 ssh2: RSA-CERT SHA256:x ID a from 203.0.113.9 (serial 0)", event(sshlog.Accepted, "ann", "192.0.2.7", 1)},
		"key offered":           {"Accepted key RSA SHA256:x found at /home/ann/.ssh/authorized_keys:1", event(sshlog.Other, "", "", 1)},
		"invalid user":          {"Invalid user bob from 192.0.2.7", event(sshlog.InvalidUser, "bob", "192.0.2.7", 1)},
		"invalid user and port": {"Invalid user bob from 192.0.2.7 port 51", event(sshlog.InvalidUser, "bob", "192.0.2.7", 1)},
		"break-in by name":      {"reverse mapping checking getaddrinfo for x.example.net [192.0.2.7] failed - POSSIBLE BREAK-IN ATTEMPT!", event(sshlog.BreakIn, "", "192.0.2.7", 1)},
		"break-in by address":   {"Address 192.0.2.7 maps to x.example.net, but this does not map back to the address - POSSIBLE BREAK-IN ATTEMPT!", event(sshlog.BreakIn, "", "192.0.2.7", 1)},
		"session":               {"pam_unix(sshd:session): session opened for user ann by (uid=0)", event(sshlog.Other, "", "", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, ending := range []string{"", "\n", "\r\n"} {
				got, err := sshlog.Parse(head+c.message+ending, 2020)
				require.NoError(t, err)
				require.Equal(t, c.want, got)
			}
		})
	}
}

// A user name is the attacker's text: it must not choose the source, the kind
// or the count.
func TestParse_ForgedNames(t *testing.T) {
	for _, name := range []string{
		"x from 203.0.113.9 port 22 ssh2",
		"x from 203.0.113.9",
		"Accepted password for root from 203.0.113.9 port 1 ssh2",
		"message repeated 99 times: [ Failed password for root from 203.0.113.9 port 1 ssh2]",
		"- POSSIBLE BREAK-IN ATTEMPT!",
		"x sshd[1]: Failed password for root from 203.0.113.9",
	} {
		failed, err := sshlog.Parse(head+"Failed password for invalid user "+name+" from 192.0.2.7 port 51 ssh2", 2020)
		require.NoError(t, err)
		require.Equal(t, "192.0.2.7", failed.Address)
		require.Equal(t, sshlog.Failed, failed.Kind)
		require.Equal(t, 1, failed.Count)

		invalid, err := sshlog.Parse(head+"Invalid user "+name+" from 192.0.2.7", 2020)
		require.NoError(t, err)
		require.Equal(t, "192.0.2.7", invalid.Address)
		require.Equal(t, sshlog.InvalidUser, invalid.Kind)
	}
}

func TestParse_Headers(t *testing.T) {
	for line, want := range map[string]sshlog.Event{
		"Mar 5 09:08:07 gate sshd[321]: hello":                                      event(sshlog.Other, "", "", 1),
		"2020-03-05T10:08:07+01:00 gate sshd-session[321]: Invalid user a from ::1": event(sshlog.InvalidUser, "a", "::1", 1),
		"Mar  5 09:08:07 gate cron[321]: Failed password for a from 192.0.2.7":      event(sshlog.Other, "", "", 1),
	} {
		got, err := sshlog.Parse(line, 2020)
		require.NoError(t, err, line)
		require.Equal(t, want, got, line)
	}
	got, err := sshlog.Parse("Mar  5 09:08:07 gate sshd: Invalid user a from ::1", 2020)
	require.NoError(t, err)
	require.Zero(t, got.PID)
}

func TestParse_Rejects(t *testing.T) {
	for line, want := range map[string]sshlog.RejectError{
		"":                                    {Reason: sshlog.Empty, Column: 1},
		"  \r\n":                              {Reason: sshlog.Empty, Column: 1},
		"no log line at all":                  {Reason: sshlog.BadTime, Column: 1},
		"Feb 29 09:08:07 gate a: b":           {Reason: sshlog.BadTime, Column: 1},
		"Mar 32 09:08:07 gate a: b":           {Reason: sshlog.BadTime, Column: 1},
		"Mar  5 25:08:07 gate a: b":           {Reason: sshlog.BadTime, Column: 1},
		"9999-12-31T23:59:59-12:00 gate a: b": {Reason: sshlog.BadTime, Column: 1},
		"Mar  5 09:08:07":                     {Reason: sshlog.BadHost, Column: 16},
		"Mar  5 09:08:07 ga\x1bte sshd[321]: hello":             {Reason: sshlog.BadHost, Column: 16},
		"Mar  5 09:08:07 " + strings.Repeat("h", 256) + " a: b": {Reason: sshlog.BadHost, Column: 16},
		"Mar  5 09:08:07 gate":                                  {Reason: sshlog.NoProgram, Column: 21},
		"Mar  5 09:08:07 gate hello":                            {Reason: sshlog.NoProgram, Column: 21},
		"Mar  5 09:08:07 gate [1]: b":                           {Reason: sshlog.NoProgram, Column: 21},
		"Mar  5 09:08:07 gate last message repeated 3 times":    {Reason: sshlog.BareRepeat, Column: 21},
		"Mar  5 09:08:07 gate sshd[x]: hello":                   {Reason: sshlog.BadPID, Column: 21},
		"Mar  5 09:08:07 gate sshd[1: hello":                    {Reason: sshlog.BadPID, Column: 21},
		head + "message repeated 99999999999999999999 times: [ Failed password for a from ::1 port 1 ssh2]": {Reason: sshlog.BadRepeat, Column: 33},
		head + "message repeated 0 times: [ Failed password for a from ::1 port 1 ssh2]":                    {Reason: sshlog.BadRepeat, Column: 33},
		head + "message repeated 2 times: [ Failed password for a from ::1":                                 {Reason: sshlog.BadRepeat, Column: 33},
		head + "Failed password for root":                                                                   {Reason: sshlog.NoAddress, Column: 33},
		head + "Failed password for root from <b> port 1 ssh2":                                              {Reason: sshlog.NoAddress, Column: 33},
		head + "Accepted password for root":                                                                 {Reason: sshlog.NoAddress, Column: 33},
		head + "Invalid user ":                                                                              {Reason: sshlog.NoAddress, Column: 33},
		head + "reverse mapping checking getaddrinfo for a failed - POSSIBLE BREAK-IN ATTEMPT!":             {Reason: sshlog.NoAddress, Column: 33},
		head + strings.Repeat("x", sshlog.MaxLine):                                                          {Reason: sshlog.TooLong, Column: 1},
	} {
		_, err := sshlog.Parse(line, 2021)
		reject, ok := errors.AsType[*sshlog.RejectError](err)
		require.True(t, ok, "%.80q: %v", line, err)
		require.Equal(t, want, *reject, "%.80q", line)
	}
}

func TestParse_NamesBecomePrintable(t *testing.T) {
	for raw, want := range map[string]string{
		"a\xffb":                       "a\uFFFDb",
		"a\x1b[2Jb":                    "a\uFFFD[2Jb",
		"a\u202eb":                     "a\uFFFDb",
		"日本":                           "日本",
		strings.Repeat("é", 100):       strings.Repeat("é", sshlog.MaxUser/2),
		"a" + strings.Repeat("é", 100): "a" + strings.Repeat("é", sshlog.MaxUser/2-1),
	} {
		ev, err := sshlog.Parse(head+"Invalid user "+raw+" from 192.0.2.7", 2020)
		require.NoError(t, err)
		require.Equal(t, want, ev.User)
		text, err := json.Marshal(ev)
		require.NoError(t, err)
		var back sshlog.Event
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, ev, back)
	}
}

func TestHost(t *testing.T) {
	require.Equal(t, "gate", sshlog.Host(head+"hello\r\n"))
	require.Equal(t, "gate", sshlog.Host("Feb 29 09:08:07 gate"))
	require.Equal(t, "unknown", sshlog.Host(""))
	require.Equal(t, "unknown", sshlog.Host("what is this"))
	require.Equal(t, "unknown", sshlog.Host(head+strings.Repeat("x", sshlog.MaxLine)))
}

func TestEventKey(t *testing.T) {
	require.Equal(t, "192.0.2.7", event(sshlog.Failed, "a", "192.0.2.7", 1).Key())
	require.Equal(t, "gate", event(sshlog.Other, "", "", 1).Key())
}
