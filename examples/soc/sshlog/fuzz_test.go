package sshlog_test

import (
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

// FuzzParse: any bytes give an event that survives JSON, or a reject; never both
// and never a panic.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"",
		head,
		head + "Failed password for invalid user \xff from 192.0.2.7 port 51 ssh2\r\n",
		head + "message repeated 5 times: [ Failed password for root from ::1 port 1 ssh2]",
		head + "Accepted password for a from 192.0.2.7 port 1 ssh2",
		head + "Invalid user x from 192.0.2.7",
		head + "reverse mapping checking getaddrinfo for x [192.0.2.7] failed - POSSIBLE BREAK-IN ATTEMPT!",
		"2020-03-05T10:08:07+01:00 gate sshd-session[321]: Address 192.0.2.7 maps to x - POSSIBLE BREAK-IN ATTEMPT!",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		ev, err := sshlog.Parse(line, 2020)
		if err != nil {
			reject, ok := errors.AsType[*sshlog.RejectError](err)
			require.True(t, ok)
			require.NotEmpty(t, reject.Reason)
			require.LessOrEqual(t, reject.Column, len(line)+1)
			return
		}
		require.Equal(t, ev.Host, sshlog.Host(line))
		require.GreaterOrEqual(t, ev.Count, 1)
		require.Equal(t, ev.Kind != sshlog.Other, ev.Counted())
		require.True(t, utf8.ValidString(ev.User+ev.Address+ev.Host))
		require.LessOrEqual(t, len(ev.User), sshlog.MaxUser)
		text, err := json.Marshal(ev)
		require.NoError(t, err)
		var back sshlog.Event
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, ev, back)
	})
}
