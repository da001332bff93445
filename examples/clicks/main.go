// Command clicks counts clicks in one part of the program and serves the counts over HTTP in another, which may as well
// run elsewhere: a view keeps the whole table, whoever counts.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// visitor is what is known of one who clicks.
type visitor struct {
	Clicks int64  `json:"clicks"`
	Last   string `json:"last"`
}

var (
	clicks   = topology.NewStream("clicks", codec.String) // pages by visitor
	visitors = topology.NewTable("visitors", codec.JSON[visitor]())
)

func onClick(ctx *topology.Context, page string) error {
	v, _, err := visitors.Get(ctx)
	if err != nil {
		return err
	}
	v.Clicks++
	v.Last = page
	return visitors.Set(ctx, v)
}

// handler answers /visitors and /visitors/{name} out of the view.
func handler(view *processor.View[visitor]) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /visitors/{name}", func(w http.ResponseWriter, r *http.Request) {
		v, ok, err := view.Get(r.PathValue("name"))
		switch {
		case errors.Is(err, processor.ErrNotReady):
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case !ok:
			http.Error(w, "nobody of that name has clicked", http.StatusNotFound)
		default:
			_ = json.NewEncoder(w).Encode(v)
		}
	})
	mux.HandleFunc("GET /visitors", func(w http.ResponseWriter, _ *http.Request) {
		all := map[string]visitor{}
		for row, err := range view.Range() {
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			all[row.Key] = row.Value
		}
		_ = json.NewEncoder(w).Encode(all)
	})
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
	dir, err := os.MkdirTemp("", "clicks")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := func(part string) []processor.Option {
		return []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(filepath.Join(dir, part))}
	}
	if err := feed(ctx, options("")); err != nil {
		return err
	}
	group, err := topology.Define("clicks", topology.Input(clicks, onClick), topology.Persist(visitors))
	if err != nil {
		return err
	}
	p, err := processor.New(group, options("counter")...)
	if err != nil {
		return err
	}
	view, err := processor.NewView(visitors, options("server")...)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return p.Run(ctx) })
	parts.Go(func() error {
		defer stop()
		if err := wait(ctx, p.Ready()); err != nil { // the table's topic is there
			return err
		}
		return serve(ctx, group, view, options(""))
	})
	return parts.Wait()
}

// serve runs the view and the server until the answers are printed.
func serve(ctx context.Context, group *topology.Group, view *processor.View[visitor], options []processor.Option) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler(view)}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return view.Run(ctx) })
	parts.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	parts.Go(func() error {
		defer stop()
		defer server.Close()
		if err := counted(ctx, group, view, options); err != nil {
			return err
		}
		return ask("http://"+listener.Addr().String(), "/visitors/ada", "/visitors/zoe", "/visitors")
	})
	return parts.Wait()
}

// counted waits until every click is counted and the view shows it.
func counted(ctx context.Context, group *topology.Group, view *processor.View[visitor], options []processor.Option) error {
	for left := int64(1); left > 0; {
		var err error
		if left, err = processor.Lag(ctx, group, options...); err != nil {
			return err
		}
	}
	return view.Sync(ctx)
}

func wait(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func feed(ctx context.Context, options []processor.Option) error {
	if err := processor.CreateTopics(ctx, options, clicks); err != nil {
		return err
	}
	emitter, err := processor.NewEmitter(clicks, options...)
	if err != nil {
		return err
	}
	for _, c := range [][2]string{{"ada", "/"}, {"bob", "/"}, {"ada", "/prices"}, {"ada", "/order"}} {
		if err := emitter.Emit(ctx, c[0], c[1]); err != nil {
			return err
		}
	}
	return emitter.Close(ctx)
}

// ask prints what the server answers.
func ask(server string, paths ...string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range paths {
		res, err := client.Get(server + path)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			return err
		}
		fmt.Printf("GET %s: %d %s", path, res.StatusCode, body)
	}
	return nil
}
