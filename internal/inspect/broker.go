package inspect

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/layout"
	"github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/state"
)

// Kafka is what the commands need of the brokers. Close it.
type Kafka struct {
	client *kafka.Client
	reader *kafka.Reader
	group  *task.Group // the reader's
	names  map[string]string
}

// PasswordVariable is where a SASL password is read from that is in no properties file.
const PasswordVariable = kafka.PasswordVariable

// Connect reaches a broker. properties names a file that says how, "" for a connection without TLS and SASL.
func Connect(ctx context.Context, brokers []string, properties string) (*Kafka, error) {
	conf := kafka.Config{Brokers: brokers, ClientID: "tarn-state", Logger: slog.New(slog.DiscardHandler)}
	if properties != "" {
		var err error
		if conf.Sarama, err = kafka.ReadProperties(properties); err != nil {
			return nil, err
		}
	}
	client, err := kafka.NewClient(conf)
	if err != nil {
		return nil, err
	}
	if err := client.Connect(ctx); err != nil {
		client.Close()
		return nil, err
	}
	k := &Kafka{client: client, reader: client.NewReader(kafka.ReaderConfig{Logger: slog.New(slog.DiscardHandler)}), group: task.New(context.Background())}
	k.group.Go("reader", k.reader.Run)
	return k, nil
}

// Close ends the connections.
func (k *Kafka) Close() {
	k.group.Stop(nil)
	_ = k.group.Wait() // its error is that of every log
	k.client.Close()
}

// log is one partition of a topic; close it.
func (k *Kafka) log(topic string, partition int32) *kafka.Cursor {
	return k.reader.Open(topic, partition, nil)
}

// topicOf gives the topic of a store. The name of one that is too long for a folder is looked for among all topics.
func (k *Kafka) topicOf(ctx context.Context, s *Store) (string, error) {
	if !s.cut {
		return s.Table, nil
	}
	if k.names == nil {
		found, err := k.client.Refresh(ctx)
		if err != nil {
			return "", err
		}
		k.names = map[string]string{}
		for name := range found {
			k.names[layout.Escape(name)] = name
		}
	}
	if name, ok := k.names[s.Table]; ok {
		return name, nil
	}
	return "", fmt.Errorf("inspect: %w", &state.TopicMissingError{Topic: s.Table})
}
