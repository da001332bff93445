package workload

import (
	"context"
	"fmt"

	"github.com/tarnstream/tarn/internal/kafka"
)

// TableOf is the topic of a group's table: goka and tarn have it the same way, Kafka Streams another. "" where a client keeps none.
func TableOf(client, group string) string {
	switch {
	case isStreams(client):
		return group + "-table-changelog"
	case client == Sarama:
		return ""
	}
	return group + "-table"
}

// OutputOf is where a group hands records on to.
func OutputOf(group string) string { return group + "-out" }

// topicsOf are the topics that a job makes, or has made, beside the one that it reads. A Pass's output is its caller's.
func topicsOf(j Job) (topics []string) {
	switch j.Work {
	case Count, Pass:
		if table := TableOf(j.Client, j.Group); table != "" {
			topics = append(topics, table)
		}
	case Restart:
		topics = append(topics, inputOf(j.Group), TableOf(j.Client, j.Group))
	case Map:
		topics = append(topics, OutputOf(j.Group))
	}
	return topics
}

// prepare makes what a client would not make for itself.
func prepare(ctx context.Context, client *kafka.Client, j Job) error {
	topic := kafka.TopicSpec{Partitions: int32(j.Shape.Partitions)}
	switch {
	case j.Work == Map:
		topic.Name = OutputOf(j.Group)
	case j.Client == Goka && (j.Work == Count || j.Work == Restart || j.Work == Pass):
		// It would make the topic itself, and fail where a leader does not know yet that it is one.
		topic.Name, topic.Configs = TableOf(j.Client, j.Group), map[string]string{"cleanup.policy": "compact"}
	default:
		return nil
	}
	if err := client.CreateTopics(ctx, []kafka.TopicSpec{topic}); err != nil {
		return err
	}
	return scan(ctx, client, topic.Name, func(_, _ []byte) {}) // every leader answers
}

// verify holds a job to what it had to do: a count adds up to the records, a restored table has each key's last record, a
// map's output has every other record.
func verify(ctx context.Context, client *kafka.Client, j Job, got Outcome) error {
	filled := j.Filled
	switch j.Work {
	case Count, Pass:
		if table := TableOf(j.Client, j.Group); table != "" {
			return AddsUp(ctx, client, table, j)
		}
		if got.Rows != filled.Rows || got.Sum != j.Records {
			return fmt.Errorf("workload: %s count: %d rows that add up to %d, expected %d and %d", j.Client, got.Rows, got.Sum, filled.Rows, j.Records)
		}
	case Map:
		return verifyMap(ctx, client, j)
	case Restore, Lookup:
		if got.Rows != filled.Rows || got.Sum != filled.Sum {
			return fmt.Errorf("workload: %s %s: %d rows with the sum %d, expected %d with %d", j.Client, j.Work, got.Rows, got.Sum, filled.Rows, filled.Sum)
		}
	}
	return nil
}

// AddsUp tells whether a table of counts has each record once.
func AddsUp(ctx context.Context, client *kafka.Client, table string, j Job) error {
	_, sum, err := counted(ctx, client, table, j)
	if err == nil && sum != j.Records {
		err = fmt.Errorf("workload: %s %s: the table adds up to %d, expected %d", j.Client, j.Work, sum, j.Records)
	}
	return err
}

// counted adds up a table of counts.
func counted(ctx context.Context, client *kafka.Client, table string, j Job) (rows, sum int64, err error) {
	all, err := Fold(ctx, client, table)
	if err != nil {
		return 0, 0, fmt.Errorf("workload: %s %s: read the table: %w", j.Client, j.Work, err)
	}
	for key, data := range all {
		n, err := countOf(j.Client, data)
		if err != nil {
			return 0, 0, fmt.Errorf("workload: %s %s: row %s: %w", j.Client, j.Work, key, err)
		}
		sum += n
	}
	return int64(len(all)), sum, nil
}

// countOf decodes a row that a client's count has written.
func countOf(client string, data []byte) (int64, error) {
	switch {
	case client == Goka:
		return gokaCountOf(data)
	case isStreams(client):
		return streamsCountOf(data)
	}
	return tarnCountOf(data)
}

// verifyMap counts what came out.
func verifyMap(ctx context.Context, client *kafka.Client, j Job) error {
	var rows, sum, expected, expectedSum int64
	for n := int64(0); n < j.Records; n++ {
		if mapKeeps(n) {
			expected, expectedSum = expected+1, expectedSum+n
		}
	}
	var bad error
	err := scan(ctx, client, OutputOf(j.Group), func(_, value []byte) {
		n, err := mappedNumber(value)
		if err != nil {
			bad = err
		}
		rows, sum = rows+1, sum+n
	})
	switch {
	case err != nil:
		return fmt.Errorf("workload: %s map: read the output: %w", j.Client, err)
	case bad != nil:
		return fmt.Errorf("workload: %s map: %w", j.Client, bad)
	case rows != expected || sum != expectedSum:
		return fmt.Errorf("workload: %s map: %d records with the sum %d came out, expected %d with %d", j.Client, rows, sum, expected, expectedSum)
	}
	return nil
}
