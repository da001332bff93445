package workload

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"github.com/IBM/sarama"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// LevelDBSettings says how the plain restore is set up. With larger write buffers it took more processor time.
const LevelDBSettings = "Broker.Fetch as sarama's: a connection for each partition, 4 MiB asked for at a time; a goleveldb for each partition with default options, one batch (not synced) for each batch of records that was fetched"

// levelDBRestore writes what it fetches as it comes, into a LevelDB for each partition. It checks nothing and keeps no position.
func levelDBRestore(ctx context.Context, j Job) (out Outcome, err error) {
	began := time.Now()
	stores := map[int32]*leveldb.DB{}
	for p := range int32(j.Shape.Partitions) {
		if stores[p], err = leveldb.OpenFile(filepath.Join(j.Dir, strconv.Itoa(int(p))), &opt.Options{}); err != nil {
			return out, err
		}
		defer func() { err = errors.Join(err, stores[p].Close()) }()
	}
	err = fetchAll(ctx, j, func(p int32, records []*sarama.Record) error {
		var b leveldb.Batch
		for _, r := range records {
			if r.Value == nil {
				b.Delete(r.Key)
				continue
			}
			b.Put(r.Key, r.Value)
		}
		return stores[p].Write(&b, nil)
	})
	if err != nil {
		return out, err
	}
	out.Seconds, out.Peak = time.Since(began).Seconds(), PeakMemory()
	for _, db := range stores {
		it := db.NewIterator(nil, nil)
		for it.Next() {
			if err = out.add(it.Value()); err != nil {
				break
			}
		}
		it.Release()
		if err = errors.Join(err, it.Error()); err != nil {
			return out, err
		}
	}
	return out, nil
}
