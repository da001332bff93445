package state

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/tarnstream/tarn/internal/invariant"
	"github.com/tarnstream/tarn/internal/ldb"
)

// knownKeys tells of keys that a generation does not have, without a look into LevelDB. Such a look goes into each table that may
// have the key, its index before its filter, and while a table grows most looks are for keys that were never there.
//
// The naive way is a filter of all keys that is saved now and then. After a crash it lacks the keys of the last flushes: a row that
// is there is called absent, a count begins anew, and nobody notices. To fill it when the store is opened has every start wait for
// a walk over the table, and a filter as large as its keys want it outgrows every bound.
//
// The rule: it is in memory alone, and it is believed when it has seen every row. Each write goes into it before it goes into
// LevelDB; what was written before it was made it has from a walk. Looks that find nothing pay for that, with some rows each: a
// start pays nothing, and neither does who asks for keys that are there. Each part of the walk reads the rows as they are then,
// so that no snapshot is held for long: a row that is new since the filter was made is in it without the walk. Its size is given:
// the more keys it has seen, deleted ones too, the less often it knows, and where that is too seldom it goes for good.
type knownKeys struct {
	bytes  int // of the filter; fewer than leastFilter for none
	filter atomic.Pointer[keyFilter]
	over   atomic.Bool   // there will be no filter any more
	misses atomic.Uint32 // looks that found nothing while the filter was not to be believed

	writing sync.Mutex // held by a write, and where the filter is made: no write that does not know of it is under way then
	walking sync.Mutex // guards next
	next    []byte     // the key, as LevelDB has it, where the walk goes on
}

const (
	missesAWalk = 64
	rowsAWalk   = 512
	// bytesAWalk bounds how long a look takes that pays: others wait for it where they wait for the store.
	bytesAWalk  = 64 << 10
	leastFilter = 4 << 10
	// leastBits of a key are worth having: three looks of four for a key that is not there end at the filter.
	leastBits = 4
)

// lack tells that there is no row of key.
func (k *knownKeys) lack(key []byte) bool {
	f := k.filter.Load()
	return f != nil && f.whole.Load() && !f.mayHave(key)
}

// wrote takes in the keys of a batch that is about to be written. The caller holds writing.
func (k *knownKeys) wrote(b *ldb.Batch) {
	f := k.filter.Load()
	if f == nil {
		return
	}
	for key, value := range b.All() {
		if value != nil && key[0] == prefixData {
			f.add(key[1:])
		}
	}
	k.giveUpFull(f)
}

// giveUp lets go of the filter for good.
func (k *knownKeys) giveUp() {
	k.over.Store(true)
	k.filter.Store(nil)
}

func (k *knownKeys) giveUpFull(f *keyFilter) {
	if f.isFull() {
		k.giveUp()
	}
}

// missed is told of a look that has found nothing, and goes on with the walk where it is due. It waits for no lock.
func (k *knownKeys) missed(db *ldb.DB) {
	if f := k.filter.Load(); k.bytes < leastFilter || k.over.Load() || f != nil && f.whole.Load() {
		return
	}
	if k.misses.Add(1)%missesAWalk != 0 || !k.walking.TryLock() {
		return
	}
	defer k.walking.Unlock()
	if f := k.made(); f != nil && !f.whole.Load() {
		k.walk(db, f)
	}
}

// made gives the filter; nil where it cannot be made now.
func (k *knownKeys) made() *keyFilter {
	f := k.filter.Load()
	if f != nil || !k.writing.TryLock() {
		return f
	}
	defer k.writing.Unlock()
	if k.over.Load() {
		return nil
	}
	f = newKeyFilter(k.bytes)
	k.filter.Store(f)
	k.next = dataKey(nil)
	return f
}

// walk shows the filter the next rows. An error is for those to tell who ask for the row: what was not seen is never believed.
func (k *knownKeys) walk(db *ldb.DB, f *keyFilter) {
	it := db.Iterate(bytes.Clone(k.next), []byte{prefixData + 1})
	defer it.Release()
	read := 0
	for n := 0; n < rowsAWalk && read < bytesAWalk; n++ {
		if !it.Next() {
			if it.Err() != nil {
				k.giveUp()
			} else {
				f.whole.Store(true)
			}
			return
		}
		f.add(it.Key()[1:])
		k.next = append(append(k.next[:0], it.Key()...), 0) // the least key behind it
		read += len(it.Key()) + len(it.Value())
	}
	k.giveUpFull(f)
}

// check holds the filter to what LevelDB has of a key that it was believed to lack.
func (k *knownKeys) check(db *ldb.DB, key []byte) {
	f := k.filter.Load()
	_, ok, err := db.Get(dataKey(key))
	invariant.Check(!ok || err != nil || f == nil || f.mayHave(key), "key %q is there, and the filter of keys lacks it", key)
}

// keyFilter is a Bloom filter in lines of the processor's cache: the bits of a key are all in one of them.
type keyFilter struct {
	whole atomic.Bool  // it has seen every row
	keys  atomic.Int64 // different ones, nearly
	lines []filterLine
	seed  maphash.Seed
}

type filterLine [8]atomic.Uint64

const (
	filterLineBytes = 64
	bitsAKey        = 6
	lineBits        = 9 // that it takes to number the bits of a line
)

func newKeyFilter(size int) *keyFilter {
	return &keyFilter{lines: make([]filterLine, size/filterLineBytes), seed: maphash.MakeSeed()}
}

func (f *keyFilter) add(key []byte) {
	line, which := f.place(key)
	isNew := false
	for range bitsAKey {
		word, bit := nextBit(&which)
		isNew = line[word].Or(bit)&bit == 0 || isNew
	}
	if isNew {
		f.keys.Add(1)
	}
}

// isFull tells that it has seen too many keys to be of use.
func (f *keyFilter) isFull() bool {
	return f.keys.Load()*leastBits > int64(len(f.lines))*filterLineBytes*8
}

// mayHave is false for a key that was not added.
func (f *keyFilter) mayHave(key []byte) bool {
	line, which := f.place(key)
	for range bitsAKey {
		if word, bit := nextBit(&which); line[word].Load()&bit == 0 {
			return false
		}
	}
	return true
}

// place gives the line of a key, and what nextBit makes its bits of.
func (f *keyFilter) place(key []byte) (line *filterLine, which uint64) {
	h := maphash.Bytes(f.seed, key)
	at, _ := bits.Mul64(h, uint64(len(f.lines)))
	return &f.lines[at], h * 0x9e3779b97f4a7c15 // the high bits of the hash have chosen the line
}

func nextBit(which *uint64) (word int, bit uint64) {
	n := *which >> (64 - lineBits)
	*which <<= lineBits
	return int(n >> 6), 1 << (n & 63)
}
