package realkafka

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ports are those of one broker; the last two serve only with Security.
type ports struct{ client, controller, secured, expired int }

// properties is the text of a broker's server.properties: defaults that suit tests, and extra over them.
func properties(id int, of []ports, dir string, extra map[string]string) string {
	voters := make([]string, len(of))
	for i, p := range of {
		voters[i] = fmt.Sprintf("%d@127.0.0.1:%d", i+1, p.controller)
	}
	own := of[id-1]
	replicas := fmt.Sprint(len(of))
	conf := map[string]string{
		"process.roles":              "broker,controller",
		"node.id":                    fmt.Sprint(id),
		"controller.quorum.voters":   strings.Join(voters, ","),
		"listeners":                  fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", own.client, own.controller),
		"advertised.listeners":       fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", own.client),
		"controller.listener.names":  "CONTROLLER",
		"log.dirs":                   dir,
		"auto.create.topics.enable":  "false",
		"default.replication.factor": replicas,
		// A test has few groups and transactions, and 50 partitions of each internal topic take seconds to be made.
		"offsets.topic.num.partitions":             "4",
		"transaction.state.log.num.partitions":     "4",
		"offsets.topic.replication.factor":         replicas,
		"transaction.state.log.replication.factor": replicas,
		"transaction.state.log.min.isr":            fmt.Sprint((len(of) + 1) / 2),
		"group.initial.rebalance.delay.ms":         "0",
		// Looked at every second, where the default is five minutes.
		"log.retention.check.interval.ms": "1000",
		"log.cleaner.backoff.ms":          "500",
		"log.segment.delete.delay.ms":     "1000",
		// A killed broker is noticed in seconds.
		"broker.session.timeout.ms":             "3000",
		"broker.heartbeat.interval.ms":          "500",
		"replica.lag.time.max.ms":               "3000",
		"controller.quorum.election.timeout.ms": "500",
		"controller.quorum.fetch.timeout.ms":    "1000",
	}
	maps.Copy(conf, extra)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(conf)) {
		fmt.Fprintf(&b, "%s=%s\n", key, conf[key])
	}
	return b.String()
}

// CompactSoon are topic configs with which the cleaner works every second or so: a segment is closed after a second, and
// what is closed is cleaned at once. A deletion stays for forgetMillis.
func CompactSoon(forgetMillis int) map[string]string {
	return map[string]string{
		"cleanup.policy":            "compact",
		"segment.ms":                "1000",
		"min.cleanable.dirty.ratio": "0.01",
		"max.compaction.lag.ms":     "1000",
		"delete.retention.ms":       fmt.Sprint(forgetMillis),
	}
}
