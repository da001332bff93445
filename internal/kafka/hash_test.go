package kafka

import (
	"math/rand/v2"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/scope"
)

// A handle's hash puts every key where sarama's producer, and so goka's, puts it.
func TestHash_AgreesWithSarama(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for hash, partitioner := range map[scope.Hash]sarama.Partitioner{
		scope.FNV1a: sarama.NewHashPartitioner("t"), scope.CRC32: sarama.NewConsistentCRCHashPartitioner("t"),
	} {
		for range 20_000 {
			key := make([]byte, r.IntN(20))
			for i := range key {
				key[i] = byte(r.Uint32())
			}
			n := 1 + r.Int32N(64)
			want, err := partitioner.Partition(&sarama.ProducerMessage{Key: sarama.ByteEncoder(key)}, n)
			require.NoError(t, err)
			require.Equal(t, want, hash.Partition(key, n), "%s of %q in %d", hash, key, n)
		}
	}
}
