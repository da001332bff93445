package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tarnstream/tarn/internal/layout"
	"github.com/tarnstream/tarn/state"
)

// Group is what is on disk of a group or a view. Its JSON is what the commands write.
type Group struct {
	Kind   string  `json:"kind"` // group or view
	Name   string  `json:"name"`
	Dir    string  `json:"dir"`
	Holder *Holder `json:"holder,omitempty"` // the process that has it open
	// Instance is the id of the folder, "" where there is none yet.
	Instance string  `json:"instance,omitempty"`
	Stores   []Store `json:"stores"`

	cut bool // Name is the folder's
}

// Holder is a process that holds a folder; PID 0 where its LOCK does not tell.
type Holder struct {
	PID  int    `json:"pid"`
	Host string `json:"host"`
}

// Store is one partition of a table on disk.
type Store struct {
	Table     string `json:"table"`
	Partition int32  `json:"partition"`
	Dir       string `json:"dir"`
	// Generation is the one in use, "" where there is none. Unfinished are others: of a rebuild that is under way or was cut
	// off. Quarantined are those that were set aside.
	Generation  string   `json:"generation,omitempty"`
	Unfinished  []string `json:"unfinished,omitempty"`
	Quarantined []string `json:"quarantined,omitempty"`
	// Bytes is the size of all files.
	Bytes int64 `json:"bytes"`
	// Checkpoint is nil where there is none, or none that can be read: Fault then says why.
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
	Fault      string      `json:"fault,omitempty"`

	cut bool // Table is the folder's name
	raw state.Checkpoint
	err error // of Fault
}

// Checkpoint is a state.Checkpoint to be written. Numbers that are not known are -1.
type Checkpoint struct {
	TopicID           string           `json:"topicId,omitempty"`
	ClusterID         string           `json:"clusterId,omitempty"`
	Position          int64            `json:"position"`
	LastApplied       int64            `json:"lastApplied"`
	LastAppliedEpoch  int32            `json:"lastAppliedEpoch"`
	KnownCurrent      *time.Time       `json:"knownCurrent,omitempty"`
	LogStart          int64            `json:"logStart"`
	DeleteRetentionMS int64            `json:"deleteRetentionMs"`
	Inputs            map[string]int64 `json:"inputs,omitempty"`
	Flush             uint64           `json:"flush"`
	Digest            string           `json:"digest,omitempty"` // of the rows; "" for not known
}

func shown(c state.Checkpoint) *Checkpoint {
	out := &Checkpoint{ClusterID: c.ClusterID, Position: c.Position, LastApplied: c.LastApplied, LastAppliedEpoch: c.LastAppliedEpoch,
		LogStart: c.LogStart, DeleteRetentionMS: -1, Inputs: c.Inputs, Flush: c.Flush}
	if c.TopicID != (state.TopicID{}) {
		out.TopicID = fmt.Sprintf("%x", c.TopicID[:])
	}
	if !c.KnownCurrent.IsZero() {
		t := c.KnownCurrent.UTC()
		out.KnownCurrent = &t
	}
	if c.Digest.Known() {
		out.Digest = c.Digest.String()
	}
	if c.DeleteRetention >= 0 {
		out.DeleteRetentionMS = c.DeleteRetention.Milliseconds()
	}
	return out
}

// Look tells what is on disk below dir, a state directory or the folder of one group or view. Nothing is changed: no lock
// is taken, and no journal replayed to disk. What a running process writes meanwhile is seen as of one moment in each store.
func Look(dir string) ([]Group, error) {
	found, err := layout.Find(dir)
	if err != nil {
		return nil, err
	}
	var all []Group
	for _, f := range found {
		g, err := look(f)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

func look(f layout.Group) (Group, error) {
	g := Group{Kind: "group", Name: f.Name, Dir: f.Dir, Instance: instance(f.Dir), Stores: []Store{}, cut: f.Cut}
	if f.Kind == layout.Views {
		g.Kind = "view"
	}
	h, held, err := layout.HolderOf(f.Dir)
	if err != nil {
		return g, err
	}
	if held {
		g.Holder = &Holder{h.PID, h.Host}
	}
	stores, err := f.Stores()
	if err != nil {
		return g, err
	}
	for _, at := range stores {
		s, err := lookAt(at, held)
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if err != nil {
			return g, err
		}
		g.Stores = append(g.Stores, s)
	}
	return g, nil
}

// instance is the id in a folder's INSTANCE.
func instance(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, layout.Instance))
	if f := strings.Fields(string(data)); err == nil && len(f) == 4 {
		return f[2]
	}
	return ""
}

func lookAt(at layout.Store, held bool) (Store, error) {
	s := Store{Table: at.Table, Partition: at.Partition, Dir: at.Dir, cut: at.Cut}
	if err := s.list(); err != nil {
		return s, err
	}
	st, err := open(at.Dir, held)
	if _, damaged := errors.AsType[*state.DamageError](err); damaged {
		s.Fault, s.err = err.Error(), err
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if cp, ok := st.Checkpoint(); ok {
		s.raw, s.Checkpoint = cp, shown(cp)
	}
	return s, st.Close()
}

// openTries is how often a store is opened that another process is writing: files that go away look like damage.
const openTries = 5

func open(dir string, held bool) (state.Store, error) {
	for try := 1; ; try++ {
		st, err := state.Open(dir, state.Options{ReadOnly: true})
		if err == nil || !held || try == openTries {
			return st, err
		}
	}
}

// list reads the names and sizes. What goes away meanwhile is left out.
func (s *Store) list() error {
	data, err := os.ReadFile(filepath.Join(s.Dir, "CURRENT"))
	if f := strings.Fields(string(data)); err == nil && len(f) == 4 && f[2] != "none" {
		s.Generation = f[2]
	}
	err = filepath.WalkDir(s.Dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.IsDir() {
			s.note(path)
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			s.Bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	return nil
}

// note takes in a folder of the store.
func (s *Store) note(path string) {
	rel, err := filepath.Rel(s.Dir, path)
	if err != nil {
		return
	}
	parent, name := filepath.Split(rel)
	switch {
	case parent == "" && strings.HasPrefix(name, "g") && name != s.Generation:
		s.Unfinished = append(s.Unfinished, name)
	case filepath.Clean(parent) == "quarantine":
		s.Quarantined = append(s.Quarantined, name)
	}
}
