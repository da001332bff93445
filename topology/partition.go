package topology

import (
	"fmt"
	"strings"

	"github.com/tarnstream/tarn/internal/scope"
)

// FNV1a spreads the keys of a handle's topic by their FNV-1a hash, as sarama's default partitioner and goka do.
// Without FNV1a or CRC32 it is murmur2, as in Kafka's Java client. The inputs, loops, tables and joined tables of a group
// must agree.
func FNV1a() TopicOption { return func(t *scope.Topic) { t.Hash = scope.FNV1a } }

// CRC32 spreads the keys of a handle's topic by their CRC-32, as librdkafka's consistent partitioner does. Its default,
// consistent_random, agrees but for empty keys, which it spreads at random. The inputs, loops, tables and joined tables
// of a group must agree.
func CRC32() TopicOption { return func(t *scope.Topic) { t.Hash = scope.CRC32 } }

// hashFaults looks at the co-partitioned topics of a group. Where their hashes differ, a task would have a key's records
// and another task its row.
func hashFaults(g *scope.Group) []Fault {
	edges := map[scope.Hash][]string{}
	for _, in := range g.Inputs {
		edges[in.Hash] = append(edges[in.Hash], fmt.Sprintf("%s(%s)", in.Kind(), in.Name))
	}
	for _, t := range g.Tables {
		edges[t.Hash] = append(edges[t.Hash], fmt.Sprintf("Persist(%s)", t.Name))
	}
	for _, r := range g.Reads {
		if !r.Lookup { // whoever looks up goes to the key's partition, wherever the inputs have it
			edges[r.Hash] = append(edges[r.Hash], fmt.Sprintf("Join(%s)", r.Name))
		}
	}
	if len(edges) < 2 {
		return nil
	}
	var parts []string
	for _, h := range scope.Hashes {
		if len(edges[h]) > 0 {
			parts = append(parts, fmt.Sprintf("%s by %s", strings.Join(edges[h], ", "), h))
		}
	}
	return []Fault{{Edge: "group", Reason: "co-partitioned topics must hash keys alike: " + strings.Join(parts, " but ")}}
}
