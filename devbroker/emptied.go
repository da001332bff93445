package devbroker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// keepEmptied has logs of which DeleteRecords has left nothing go on where they ended: the cluster takes a partition
// without a segment for new, and would begin it at 0 again, below what consumers have committed.
func keepEmptied(dir string) error {
	snapshots, err := filepath.Glob(filepath.Join(dir, "partitions", "*", "snapshot.json"))
	for _, name := range snapshots {
		err = errors.Join(err, keepEmptiedLog(name))
	}
	return err
}

func keepEmptiedLog(name string) error {
	segments, err := filepath.Glob(filepath.Join(filepath.Dir(name), "*.dat"))
	for _, s := range segments { // empty ones, of which the snapshot tells nothing, do not count
		if info, e := os.Stat(s); e != nil || info.Size() > 0 {
			return e
		}
		err = errors.Join(err, os.Remove(s))
	}
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var snap snapshot
	var start int64
	if err := errors.Join(json.Unmarshal(raw, &snap), field(snap, "log_start_offset", &start)); err != nil || start == 0 {
		return err
	}
	if snap["segments"], err = json.Marshal([]segment{{Base: start}}); err != nil {
		return err
	}
	if raw, err = json.Marshal(snap); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(filepath.Dir(name), fmt.Sprintf("%d.dat", start)), nil, 0o644), os.WriteFile(name, raw, 0o644))
}
