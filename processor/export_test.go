package processor

import "github.com/tarnstream/tarn/internal/ldb"

// Disk keeps a processor's tables on another file system than the real one.
func Disk(fs ldb.FS) Option { return func(c *config) { c.state.Disk = fs } }
