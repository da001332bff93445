package ldb

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb/journal"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// Fields of a manifest's record, as LevelDB numbers them.
const (
	fieldComparer = 1
	fieldJournal  = 2
	fieldNextFile = 3
	fieldSequence = 4
	fieldAddTable = 7
)

// levelBytes is what all tables of the first level may take before LevelDB compacts it: ten times as much for each level down.
const (
	levelBytes = 32 << 20
	mostLevel  = 6
)

// levelFor is the highest level below the first that takes the tables and is not compacted for it; base is what the first takes.
func levelFor(tables []tableFile, base int) uint64 {
	var size int64
	for i := range tables {
		size += tables[i].size
	}
	level, room := uint64(1), int64(base)*10
	for size > room && level < mostLevel {
		level, room = level+1, room*10
	}
	return level
}

// contents is what a manifest tells of a database that has tables of one level and no journal.
type contents struct {
	tables []tableFile
	level  uint64
	seq    uint64 // of the newest row
}

// writeManifest makes the manifest that counts.
func writeManifest(st storage.Storage, fd storage.FileDesc, c contents) error {
	w, err := st.Create(fd)
	if err != nil {
		return fmt.Errorf("ldb: create %s: %w", fd, err)
	}
	j := journal.NewWriter(w)
	record, err := j.Next()
	if err == nil {
		_, err = record.Write(c.record(fd.Num + 1))
	}
	err = errors.Join(err, j.Close())
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err == nil {
		err = st.SetMeta(fd)
	}
	if err != nil {
		return fmt.Errorf("ldb: write %s: %w", fd, err)
	}
	return nil
}

func (c contents) record(nextFile int64) []byte {
	number := func(b []byte, field, n uint64) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(b, field), n)
	}
	text := func(b, s []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	b := text(binary.AppendUvarint(nil, fieldComparer), []byte(internalOrder{}.Name()))
	b = number(b, fieldJournal, 0)
	b = number(b, fieldNextFile, uint64(nextFile))
	b = number(b, fieldSequence, c.seq)
	for i := range c.tables {
		t := &c.tables[i]
		b = number(b, fieldAddTable, c.level)
		b = binary.AppendUvarint(b, uint64(t.fd.Num))
		b = binary.AppendUvarint(b, uint64(t.size))
		b = text(text(b, t.first), t.last)
	}
	return b
}
