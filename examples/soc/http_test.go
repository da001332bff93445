package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fixed is a table that is there, or an error.
type fixed struct {
	rows map[string]Attacker
	err  error
}

func (f fixed) Top(n int) ([]Attacker, error) { return top(maps.Values(f.rows), n), f.err }

func (f fixed) Get(address string) (Attacker, bool, error) {
	row, found := f.rows[address]
	return row, found, f.err
}

func (f fixed) Since(at time.Time) ([]Alert, error) {
	var found []Alert
	for hour := range 3 {
		if a := (Alert{Rule: BruteForce, Time: time.Date(2026, 1, 5, hour, 0, 0, 0, time.UTC)}); !a.Time.Before(at) {
			found = append(found, a)
		}
	}
	return found, f.err
}

func request(t *testing.T, table attackers, method, target string) (*httptest.ResponseRecorder, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	w := httptest.NewRecorder()
	newHandler(table, slog.New(slog.NewTextHandler(&logged, nil))).ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w, &logged
}

func fifteen() fixed {
	f := fixed{rows: make(map[string]Attacker)}
	for i := range 15 {
		row, _ := play(fails(make([]int, i+1)...))
		row.Address = fmt.Sprintf("192.0.2.%d", i+1)
		f.rows[row.Address] = row
	}
	f.rows["2001:db8::1"] = Attacker{Address: "2001:db8::1"}
	return f
}

func TestHTTP_Top(t *testing.T) {
	for target, want := range map[string]int{"/attackers": 10, "/attackers?top=3": 3, "/attackers?top=1000": 15} {
		w, _ := request(t, fifteen(), "GET", target)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		var rows []Attacker
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &rows))
		require.Len(t, rows, want)
		require.Equal(t, "192.0.2.15", rows[0].Address)
		require.EqualValues(t, 15, rows[0].Failures)
		require.Nil(t, rows[0].Hosts)
	}
	w, _ := request(t, fixed{}, "GET", "/attackers")
	require.JSONEq(t, "[]", w.Body.String())
}

func TestHTTP_One(t *testing.T) {
	for _, target := range []string{"/attackers/192.0.2.4", "/attackers/::ffff:192.0.2.4", "/attackers/%3A%3Affff%3A192.0.2.4"} {
		w, _ := request(t, fifteen(), "GET", target)
		require.Equal(t, http.StatusOK, w.Code)
		var row Attacker
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &row))
		require.EqualValues(t, 4, row.Failures)
		require.EqualValues(t, 4, row.Hosts["gate"].Failures)
	}
	w, _ := request(t, fifteen(), "GET", "/attackers/2001:DB8:0:0::1")
	require.Equal(t, http.StatusOK, w.Code)
}

func TestHTTP_Alerts(t *testing.T) {
	for target, want := range map[string]int{"/alerts": 3, "/alerts?since=2026-01-05T01:00:00Z": 2, "/alerts?since=2026-01-05T03:00:00%2B01:00": 1,
		"/alerts?since=2027-01-01T00:00:00Z": 0} {
		w, _ := request(t, fixed{}, "GET", target)
		require.Equal(t, http.StatusOK, w.Code)
		var alerts []Alert
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &alerts))
		require.Len(t, alerts, want, target)
		require.NotNil(t, alerts, "an empty array, not null")
	}
}

func TestHTTP_Errors(t *testing.T) {
	starting := fixed{err: fmt.Errorf("view: %w", errNotReady)}
	broken := fixed{err: errors.New("disk on fire")}
	for _, c := range []struct {
		table          attackers
		method, target string
		status         int
		text           string
	}{
		{fifteen(), "GET", "/attackers?top=0", 400, `top must be a number from 1 to 1000, not "0"`},
		{fifteen(), "GET", "/attackers?top=", 400, `top must be a number from 1 to 1000, not ""`},
		{fifteen(), "GET", "/attackers?top=ten", 400, `top must be a number from 1 to 1000, not "ten"`},
		{fifteen(), "GET", "/attackers?top=1001", 400, `top must be a number from 1 to 1000, not "1001"`},
		{fifteen(), "GET", "/attackers/192.0.2.99", 404, `nothing is known of "192.0.2.99"`},
		{fixed{}, "GET", "/alerts?since=yesterday", 400, `since must be a time such as 2026-01-05T08:00:00Z, not "yesterday"`},
		{starting, "GET", "/alerts", 503, "the table is not ready yet; try again"},
		{starting, "GET", "/attackers", 503, "the table is not ready yet; try again"},
		{starting, "GET", "/attackers/192.0.2.1", 503, "the table is not ready yet; try again"},
		{broken, "GET", "/attackers", 500, "the table could not be read"},
	} {
		w, logged := request(t, c.table, c.method, c.target)
		require.Equal(t, c.status, w.Code, c.target)
		var body map[string]string
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
		require.Equal(t, map[string]string{"error": c.text}, body)
		require.Equal(t, c.status == 503, w.Header().Get("Retry-After") != "")
		require.Equal(t, c.status == 500, bytes.Contains(logged.Bytes(), []byte("disk on fire")))
	}
	w, _ := request(t, fifteen(), "POST", "/attackers")
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func TestServe_UntilAsked(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, listener, newHandler(fifteen(), slog.New(slog.DiscardHandler))) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + listener.Addr().String() + "/attackers")
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	stop()
	require.NoError(t, <-done)

	require.ErrorIs(t, serve(t.Context(), listener, nil), net.ErrClosed)
}
