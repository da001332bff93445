package processor_test

import (
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/processor"
)

// A broker without transactions is named at the start, with what does without them, and not when the first task is given.
func TestStart_ExactlyOnceWithoutTransactions(t *testing.T) {
	broker := sarama.NewMockBroker(t, 1)
	defer broker.Close()
	var keys []sarama.ApiVersionsResponseKey
	for key := range int16(50) {
		if key < 22 || key > 28 {
			keys = append(keys, sarama.ApiVersionsResponseKey{ApiKey: key, MaxVersion: 12})
		}
	}
	broker.SetHandlerByMap(map[string]sarama.MockResponse{"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys(keys),
		"MetadataRequest": sarama.NewMockMetadataResponse(t).SetBroker(broker.Addr(), 1).SetLeader("clicks", 0, 1)})
	p, err := processor.New(clicker(t), processor.Brokers(broker.Addr()), processor.StateDir(t.TempDir()))
	require.NoError(t, err)
	err = p.Run(t.Context())
	require.ErrorContains(t, err, "InitProducerID")
	require.ErrorContains(t, err, broker.Addr())
	require.ErrorContains(t, err, "AtLeastOnce")
}
