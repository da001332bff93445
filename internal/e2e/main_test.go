//go:build kafka

package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/internal/realkafka"
)

var version = flag.String("kafka", realkafka.Newest, "the version of Apache Kafka to run on")

// shared is the broker that tests share, each with topics and groups of its own. A test that stops brokers has some of its own.
var shared *realkafka.Cluster

func TestMain(m *testing.M) {
	if len(os.Args) > 4 && os.Args[1] == asMember {
		if err := member(os.Args[2], os.Args[3], os.Args[4:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	goleak.VerifyTestMain(onKafka{m},
		goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"), // ends a second after its DB
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))  // sarama's, for the life of the process
}

// onKafka runs tests with the shared broker.
type onKafka struct{ *testing.M }

func (m onKafka) Run() (status int) {
	if err := realkafka.Missing(); err != nil {
		fmt.Println("skipped:", err)
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	if shared, err = realkafka.Start(ctx, realkafka.Options{Version: *version}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := shared.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}()
	return m.M.Run()
}
