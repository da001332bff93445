package streamtest_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/topology"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain")) // ends a second after its DB
}

// The group most tests use: it writes what its input says.
var (
	orders = topology.NewStream("orders", codec.String)
	notes  = topology.NewTable("notes", codec.String)
	counts = topology.NewTable("counts", codec.Int64)
	out    = topology.NewStream("out", codec.String)
)

var errRefused = errors.New("refused")

// obey does what an order says: words of a verb and a key, separated by commas.
func obey(ctx *topology.Context, order string) error {
	n, _, err := counts.Get(ctx)
	if err = errors.Join(err, counts.Set(ctx, n+1)); err != nil {
		return err
	}
	for _, what := range strings.Split(order, ",") {
		verb, key, _ := strings.Cut(what, " ")
		switch verb {
		case "set":
			err = notes.SetKey(ctx, key, order)
		case "delete":
			err = notes.DeleteKey(ctx, key)
		case "emit":
			err = out.Emit(ctx, key, order, ctx.Headers()...)
		case "date":
			err = out.Emit(ctx.WithTimestamp(time.UnixMilli(7)), key, order)
		case "bury":
			err = out.EmitTombstone(ctx, key)
		case "list":
			err = list(ctx, key)
		case "fail":
			return errRefused
		case "panic":
			panic(errRefused)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// list emits what the table has.
func list(ctx *topology.Context, key string) error {
	var rows []string
	for row, err := range notes.Range(ctx) {
		if err != nil {
			return err
		}
		rows = append(rows, fmt.Sprintf("%s=%s", row.Key, row.Value))
	}
	return out.Emit(ctx, key, strings.Join(rows, ";"))
}

func obedient(t testing.TB, options ...policy.InputOption) *topology.Group {
	t.Helper()
	g, err := topology.Define("obedient", topology.Input(orders, obey, options...), topology.Output(out),
		topology.Persist(notes), topology.Persist(counts))
	require.NoError(t, err)
	return g
}

// recorder is a testing.TB whose failures are noted.
type recorder struct {
	testing.TB
	text string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Errorf(format string, args ...any) { r.text = fmt.Sprintf(format, args...) }

// failure gives the text with which fn fails its test, which it must.
func failure(t testing.TB, fn func(testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() { defer close(done); fn(r) }()
	<-done
	require.NotEmpty(t, r.text, "the test has to fail")
	return r.text
}
