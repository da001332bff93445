package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// maxTop bounds what one request may ask for.
const (
	defaultTop = 10
	maxTop     = 1000
)

// errNotReady is what attackers return, wrapped or not, while the table is
// being brought up; the request is then worth repeating.
var errNotReady = errors.New("soc: the table is not ready")

// attackers are the tables as the handlers see them. The methods are called from
// several goroutines.
type attackers interface {
	// Top returns at most n rows, worst first.
	Top(n int) ([]Attacker, error)
	// Get returns a row; false if the address has none.
	Get(address string) (Attacker, bool, error)
	// Since returns alerts raised at that time or later, oldest first.
	Since(at time.Time) ([]Alert, error)
}

// newHandler answers
//
//	GET /attackers?top=10   the worst attackers, as a JSON array; who only logged in is none
//	GET /attackers/ADDRESS  one row with all that the rules remember of it
//	GET /alerts?since=TIME  the alerts of that time (RFC 3339) and later, oldest first, 1000 at most
//
// Errors are JSON too: {"error": "..."}.
func newHandler(table attackers, log *slog.Logger) http.Handler {
	h := handler{table: table, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /attackers", h.top)
	mux.HandleFunc("GET /attackers/{address}", h.one)
	mux.HandleFunc("GET /alerts", h.alerts)
	return mux
}

type handler struct {
	table attackers
	log   *slog.Logger
}

func (h handler) top(w http.ResponseWriter, r *http.Request) {
	n := defaultTop
	if r.URL.Query().Has("top") {
		text := r.URL.Query().Get("top")
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > maxTop {
			h.fail(w, http.StatusBadRequest, fmt.Sprintf("top must be a number from 1 to %d, not %q", maxTop, text))
			return
		}
	}
	rows, err := h.table.Top(n)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	brief := make([]Attacker, 0, len(rows))
	for _, row := range rows {
		brief = append(brief, row.brief())
	}
	h.answer(w, http.StatusOK, brief)
}

func (h handler) one(w http.ResponseWriter, r *http.Request) {
	address := r.PathValue("address")
	if ip, err := netip.ParseAddr(address); err == nil {
		address = ip.Unmap().WithZone("").String() // as the rows are keyed
	}
	row, found, err := h.table.Get(address)
	switch {
	case err != nil:
		h.failed(w, r, err)
	case !found:
		h.fail(w, http.StatusNotFound, fmt.Sprintf("nothing is known of %q", address))
	default:
		h.answer(w, http.StatusOK, row)
	}
}

func (h handler) alerts(w http.ResponseWriter, r *http.Request) {
	var since time.Time
	if text := r.URL.Query().Get("since"); text != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			h.fail(w, http.StatusBadRequest, fmt.Sprintf("since must be a time such as 2026-01-05T08:00:00Z, not %q", text))
			return
		}
	}
	alerts, err := h.table.Since(since)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.answer(w, http.StatusOK, append([]Alert{}, alerts...)) // none is an empty array
}

// failed answers for an error of the table; its text stays in our log.
func (h handler) failed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errNotReady) {
		w.Header().Set("Retry-After", "1")
		h.fail(w, http.StatusServiceUnavailable, "the table is not ready yet; try again")
		return
	}
	h.log.Error("soc: request failed", "path", r.URL.Path, "error", err)
	h.fail(w, http.StatusInternalServerError, "the table could not be read")
}

func (h handler) fail(w http.ResponseWriter, status int, text string) {
	h.answer(w, status, map[string]string{"error": text})
}

func (h handler) answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	if err := out.Encode(value); err != nil {
		h.log.Debug("soc: answer not delivered", "error", err)
	}
}

// serve answers on the listener until ctx ends, and then lets requests in hand
// finish for a few seconds. It closes the listener.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("soc: http: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	<-done
	return err
}
