package ldb

import (
	"bytes"
	"encoding/binary"

	"github.com/syndtr/goleveldb/leveldb/comparer"
	"github.com/syndtr/goleveldb/leveldb/filter"
)

// What stands in a table file is an internal key: the key, and after it, little-endian, its sequence number shifted by a
// byte whose value tells a put from a delete. goleveldb keeps its own comparer and filter for them to itself; these are the
// same.
const (
	keyTail   = 8
	kindPut   = 1
	newestTag = 1<<64 - 256 | kindPut
)

// appendInternal is that of a put.
func appendInternal(dst, key []byte, seq uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, key...), seq<<8|kindPut)
}

func userKey(internal []byte) []byte { return internal[:len(internal)-keyTail] }

func tagOf(internal []byte) uint64 {
	return binary.LittleEndian.Uint64(internal[len(internal)-keyTail:])
}

// internalOrder has keys in bytewise order and, of one key, the newest first.
type internalOrder struct{}

func (internalOrder) Name() string { return comparer.DefaultComparer.Name() }

func (internalOrder) Compare(a, b []byte) int {
	if c := bytes.Compare(userKey(a), userKey(b)); c != 0 {
		return c
	}
	switch ta, tb := tagOf(a), tagOf(b); {
	case ta > tb:
		return -1
	case ta < tb:
		return 1
	}
	return 0
}

// Separator gives a short key from a on and before b, or nil for a itself.
func (internalOrder) Separator(dst, a, b []byte) []byte {
	return shortened(userKey(a), comparer.DefaultComparer.Separator(dst, userKey(a), userKey(b)))
}

// Successor gives a short key from b on, or nil for b itself.
func (internalOrder) Successor(dst, b []byte) []byte {
	return shortened(userKey(b), comparer.DefaultComparer.Successor(dst, userKey(b)))
}

// shortened makes an internal key of one that is shorter than key and comes after it.
func shortened(key, short []byte) []byte {
	if short == nil || len(short) >= len(key) || bytes.Compare(key, short) >= 0 {
		return nil
	}
	return binary.LittleEndian.AppendUint64(short, newestTag)
}

// keyFilter is a filter of the keys alone.
type keyFilter struct{ filter.Filter }

func (f keyFilter) Contains(data, internal []byte) bool {
	return f.Filter.Contains(data, userKey(internal))
}

func (f keyFilter) NewGenerator() filter.FilterGenerator {
	return keyGenerator{f.Filter.NewGenerator()}
}

type keyGenerator struct{ filter.FilterGenerator }

func (g keyGenerator) Add(internal []byte) { g.FilterGenerator.Add(userKey(internal)) }
