package scope_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/scope"
)

// With 2^31-1 partitions a partition is nearly the hash itself, so that these are vectors of the hashes: murmur2's from
// Kafka's UtilsTest, FNV-1a's from its authors' page, CRC-32's the check value of the catalogue of CRCs and others.
func TestHash_Vectors(t *testing.T) {
	const n = 1<<31 - 1
	signed := func(h uint32) int32 { return max(int32(h)%n, -(int32(h) % n)) }
	for _, v := range []struct {
		hash scope.Hash
		key  string
		want int32
	}{
		{scope.Murmur2, "21", -973932308 & 0x7fffffff},
		{scope.Murmur2, "foobar", -790332482 & 0x7fffffff},
		{scope.Murmur2, "abc", 479470107},
		{scope.Murmur2, "a-little-bit-long-string", -985981536 & 0x7fffffff},
		{scope.Murmur2, "a-little-bit-longer-string", -1486304829 & 0x7fffffff},
		{scope.Murmur2, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 & 0x7fffffff},
		{scope.FNV1a, "", signed(0x811c9dc5)},
		{scope.FNV1a, "a", signed(0xe40c292c)},
		{scope.FNV1a, "b", signed(0xe70c2de5)},
		{scope.FNV1a, "foobar", signed(0xbf9cf968)},
		{scope.CRC32, "", 0},
		{scope.CRC32, "a", int32(uint32(0xe8b7be43) % n)},
		{scope.CRC32, "123456789", int32(uint32(0xcbf43926) % n)},
		{scope.CRC32, "The quick brown fox jumps over the lazy dog", 0x414fa339},
	} {
		require.Equal(t, v.want, v.hash.Partition([]byte(v.key), n), "%s of %q", v.hash, v.key)
	}
}

// The sign rules differ, and with them the partition of half of the keys: each is that of its client.
func TestHash_Signs(t *testing.T) {
	key := []byte("a") // FNV-1a: 0xe40c292c, that is -468965076 signed; CRC-32: 0xe8b7be43, that is 3904355907
	require.EqualValues(t, 468965076%10, scope.FNV1a.Partition(key, 10))
	require.EqualValues(t, 3904355907%10, scope.CRC32.Partition(key, 10))
	require.NotEqualValues(t, 0x640c292c%10, scope.FNV1a.Partition(key, 10), "not Java's way with the sign")
	for _, h := range scope.Hashes {
		require.Zero(t, h.Partition(nil, 1), h)
	}
}
