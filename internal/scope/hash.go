package scope

import "hash/crc32"

// Hash is how a topic's keys are spread over its partitions. Programs that write one topic must agree on it.
type Hash uint8

// The hashes. The zero value is the default.
const (
	Murmur2 Hash = iota
	FNV1a
	CRC32
)

// Hashes are all of them.
var Hashes = [...]Hash{Murmur2, FNV1a, CRC32}

func (h Hash) String() string {
	switch h {
	case FNV1a:
		return "FNV-1a"
	case CRC32:
		return "CRC-32"
	}
	return "murmur2"
}

// Partition gives the partition of n that key belongs to. n must be positive.
//
// Each hash comes with the sign rule of the client it is named for, or two programs would agree on half of the keys
// only. Murmur2 drops the sign bit, as Java does. FNV1a takes the remainder of the signed hash and then its absolute
// value, as sarama's NewHashPartitioner does. (goka's views do it in the other order: the same number but for the hash
// -2^31, where they fail.) CRC32 is unsigned, as in librdkafka.
func (h Hash) Partition(key []byte, n int32) int32 {
	switch h {
	case FNV1a:
		p := int32(fnv1a(key)) % n
		return max(p, -p)
	case CRC32:
		return int32(crc32.ChecksumIEEE(key) % uint32(n))
	}
	return int32(murmur2(key)&0x7fffffff) % n
}

// fnv1a is the 32-bit FNV-1a hash; the one of the standard library allocates.
func fnv1a(data []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range data {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}

// murmur2 is the 32-bit MurmurHash2 of Austin Appleby, as org.apache.kafka.common.utils.Utils uses it.
func murmur2(data []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(data))
	for len(data) >= 4 {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
		data = data[4:]
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
