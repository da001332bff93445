package workload

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/tarnstream/tarn/bench/streams"
)

// StreamsSettings says how Kafka Streams is set up, with a thread for each core. Its commit interval is tarn's: with its own for
// at-least-once, 30 s, no effect would be in Kafka sooner than that.
func StreamsSettings() string {
	return "exactly_once_v2; streams-at-least-once: at_least_once; streams-uncached: at_least_once, streams-exactly-once-uncached: exactly_once_v2, both with statestore.cache.max.bytes 0 (else 10 MiB, its default); " +
		"groupByKey().count() in RocksDB, a restore and lookups with a GlobalKTable (least processor time; fetch.max.wait.ms 50, since it waits so long for each partition); commit.interval.ms 100 as tarn's (its own at least once is 30 s), or what the latency's table says, num.stream.threads " + strconv.Itoa(runtime.NumCPU()) + ", replication.factor 1, " +
		"auto.offset.reset earliest, leaves the group on a clean stop, no static membership; else defaults; Java's default heap and collector"
}

// isStreams tells who runs in Java.
func isStreams(client string) bool {
	return client == Streams || client == StreamsAtLeastOnce || client == StreamsUncached || client == StreamsExactlyUncached
}

// streamsCommand is Kafka Streams doing a job.
func streamsCommand(ctx context.Context, j Job) (*exec.Cmd, error) {
	program, err := streams.Make(ctx)
	if err != nil {
		return nil, err
	}
	args := map[string]any{
		"work": j.Work, "group": j.Group, "brokers": strings.Join(j.Brokers, ","), "topic": j.Topic, "output": OutputOf(j.Group), "dir": j.Dir,
		"records": j.Records, "guarantee": "at_least_once", "cache": j.Client != StreamsUncached && j.Client != StreamsExactlyUncached,
		"threads": runtime.NumCPU(), "keys": j.Shape.Keys, "readers": max(1, j.Readers), "lookupTime": cmp.Or(j.Time, lookupTime).Milliseconds(), "began": time.Now().UnixMicro(),
		"commit": cmp.Or(j.CommitInterval, 100*time.Millisecond).Milliseconds(),
	}
	if j.Client == Streams || j.Client == StreamsExactlyUncached {
		args["guarantee"] = "exactly_once_v2"
	}
	if j.SessionTimeout > 0 {
		args["session"] = j.SessionTimeout.Milliseconds()
	}
	var list []string
	for name, value := range args {
		list = append(list, fmt.Sprintf("%s=%v", name, value))
	}
	return program.Command(ctx, list...), nil
}

// streamsCountOf decodes what Kafka Streams' Long serde writes.
func streamsCountOf(data []byte) (int64, error) {
	if len(data) != 8 {
		return 0, fmt.Errorf("workload: a count of %d bytes", len(data))
	}
	return int64(binary.BigEndian.Uint64(data)), nil
}
