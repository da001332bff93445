package streamtest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// A group that raises an alert at the third failed login of a user in a row.
var (
	logins   = topology.NewStream("logins", codec.String)
	failures = topology.NewTable("login-failures", codec.Int64)
	alerts   = topology.NewStream("alerts", codec.String)
)

func onLogin(ctx *topology.Context, outcome string) error {
	if outcome == "ok" {
		return failures.Delete(ctx)
	}
	n, _, err := failures.Get(ctx)
	if err != nil {
		return err
	}
	if n+1 == 3 {
		if err := alerts.Emit(ctx, ctx.Key(), "3 failed logins"); err != nil {
			return err
		}
	}
	return failures.Set(ctx, n+1)
}

func watch() (*topology.Group, error) {
	return topology.Define("watch", topology.Input(logins, onLogin), topology.Persist(failures), topology.Output(alerts))
}

func ExampleNewContext() {
	var t testing.TB = exampleT{} // in a test: the *testing.T
	group, err := watch()
	if err != nil {
		t.Fatalf("%v", err)
	}
	c := streamtest.NewContext(t, group)

	streamtest.Set(c, failures, "alice", 2) // what is there before
	if err := streamtest.Call(c, logins, streamtest.KV("alice", "wrong password")); err != nil {
		t.Fatalf("%v", err)
	}
	fmt.Println(streamtest.Rows(c, failures))
	fmt.Println(streamtest.Records(c, alerts))

	if err := streamtest.Call(c, logins, streamtest.KV("alice", "ok")); err != nil {
		t.Fatalf("%v", err)
	}
	fmt.Println(streamtest.Rows(c, failures))
	fmt.Println(streamtest.Records(c, failures)) // the changes, the row's end included
	// Output:
	// map[alice:3]
	// ["alice"="3 failed logins"]
	// map[]
	// ["alice"=3 "alice"=tombstone]
}

// exampleT stands in for a test's T, which an example does not have.
type exampleT struct{ testing.TB }

func (exampleT) Helper()                           {}
func (exampleT) Context() context.Context          { return context.Background() }
func (exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
