// Command monitoring serves what an operator wants to know of a processor: whether it is ready, for a load balancer, and
// its figures, for Prometheus; and it prints the events of a restore as they happen.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/health"
	"github.com/tarnstream/tarn/metrics"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

var (
	logins = topology.NewStream("logins", codec.Int64) // seconds of the session, by user
	totals = topology.NewTable("session-seconds", codec.Int64)
)

func onLogin(ctx *topology.Context, seconds int64) error {
	total, _, err := totals.Get(ctx)
	if err != nil {
		return err
	}
	return totals.Set(ctx, total+seconds)
}

// events prints what a person would want to see of them.
var events = observe.Observer{
	RestorePlanned: func(r observe.Restore) {
		fmt.Printf("event: %s/%d: %s: %s\n", r.Topic, r.Partition, r.Plan.Decision, r.Plan.Cause)
	},
	RecordError: func(e observe.RecordError) {
		fmt.Printf("event: %s/%d@%d: %s: %v\n", e.Topic, e.Partition, e.Offset, e.Action, e.Cause)
	},
}

// handler answers GET /ready and GET /metrics.
func handler(p *processor.Processor) http.Handler {
	registry := prometheus.NewRegistry() // a program has its own or the default one
	registry.MustRegister(metrics.NewCollector(p))
	mux := http.NewServeMux()
	mux.Handle("GET /ready", health.Handler(p))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	broker, err := devbroker.Start()
	if err != nil {
		return err
	}
	defer broker.Close()
	dir, err := os.MkdirTemp("", "monitoring")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir), processor.Observe(events)}
	if err := feed(ctx, options); err != nil {
		return err
	}
	group, err := topology.Define("sessions", topology.Input(logins, onLogin, policy.OnError(policy.Skip())), topology.Persist(totals))
	if err != nil {
		return err
	}
	p, err := processor.New(group, options...)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler(p)}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	parts.Go(func() error {
		defer stop()
		defer server.Close()
		url := "http://" + listener.Addr().String()
		if err := ask(url+"/ready", ""); err != nil { // before Run
			return err
		}
		parts.Go(func() error { return p.Run(ctx) })
		if err := handled(ctx, group, options); err != nil {
			return err
		}
		if err := ask(url+"/ready", ""); err != nil {
			return err
		}
		return ask(url+"/metrics", "tarn_records_", "tarn_skipped_", "tarn_input_lag")
	})
	return parts.Wait()
}

// handled waits until every record is committed.
func handled(ctx context.Context, group *topology.Group, options []processor.Option) error {
	for left := int64(1); left > 0; time.Sleep(20 * time.Millisecond) {
		var err error
		if left, err = processor.Lag(ctx, group, options...); err != nil {
			return err
		}
	}
	return nil
}

func feed(ctx context.Context, options []processor.Option) error {
	if err := processor.CreateTopics(ctx, options, logins); err != nil {
		return err
	}
	emitter, err := processor.NewEmitter(topology.NewStream(logins.Name(), codec.Bytes), options...)
	if err != nil {
		return err
	}
	for _, seconds := range []string{"\x00\x00\x00\x00\x00\x00\x00\x2a", "a while", "\x00\x00\x00\x00\x00\x00\x01\x00"} {
		if err := emitter.Emit(ctx, "ada", []byte(seconds)); err != nil {
			return err
		}
	}
	return emitter.Close(ctx)
}

// ask prints what a URL answers; of metrics those that begin so.
func ask(url string, only ...string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return err
	}
	fmt.Printf("GET %s: %d\n", url[strings.LastIndex(url, "/"):], res.StatusCode)
	for line := range strings.Lines(string(body)) {
		for _, prefix := range only {
			if strings.HasPrefix(line, prefix) {
				fmt.Print("  ", line)
			}
		}
	}
	return nil
}
