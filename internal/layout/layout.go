package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Names below a group's or a view's folder, and of the folders that hold those.
const (
	Lock     = "LOCK"
	Instance = "INSTANCE"
	Groups   = "groups"
	Views    = "views"
)

// Group is the folder of one group or view.
type Group struct {
	// Kind is Groups or Views.
	Kind, Dir string
	// Name is what the folder stands for; the folder's own name where it was cut, and Cut is then true.
	Name string
	Cut  bool
}

// Find gives the groups and views of dir, in the order of their folders: dir is a state directory, or the folder of one of
// them. That there is none is an error.
func Find(dir string) ([]Group, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	if kind := filepath.Base(filepath.Dir(dir)); kind == Groups || kind == Views {
		return []Group{groupAt(kind, dir)}, nil
	}
	var all []Group
	for _, kind := range []string{Groups, Views} {
		folders, err := foldersIn(filepath.Join(dir, kind))
		if err != nil {
			return nil, fmt.Errorf("layout: %w", err)
		}
		for _, f := range folders {
			all = append(all, groupAt(kind, filepath.Join(dir, kind, f)))
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("layout: %s is neither a state directory nor the folder of a group or a view", dir)
	}
	return all, nil
}

func groupAt(kind, dir string) Group {
	g := Group{Kind: kind, Dir: dir}
	g.Name, g.Cut = nameOf(filepath.Base(dir))
	return g
}

func nameOf(folder string) (name string, cut bool) {
	if name, ok := Unescape(folder); ok {
		return name, false
	}
	return folder, true
}

// Store is the folder of one partition of a table.
type Store struct {
	Dir string
	// Table is the topic's name; the folder's own where that was cut, and Cut is then true.
	Table     string
	Cut       bool
	Partition int32
}

// Stores lists the stores of a group, by table and partition.
func (g Group) Stores() ([]Store, error) {
	tables, err := foldersIn(g.Dir)
	if err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	var all []Store
	for _, table := range tables {
		partitions, err := Partitions(filepath.Join(g.Dir, table))
		if err != nil {
			return nil, fmt.Errorf("layout: %w", err)
		}
		for _, p := range partitions {
			s := Store{Dir: filepath.Join(g.Dir, table, strconv.Itoa(int(p))), Partition: p}
			s.Table, s.Cut = nameOf(table)
			all = append(all, s)
		}
	}
	return all, nil
}

// Partitions lists the partitions that have a folder in a table's, in ascending order; none where there is no such folder.
func Partitions(table string) ([]int32, error) {
	folders, err := foldersIn(table)
	if err != nil {
		return nil, err
	}
	var out []int32
	for _, name := range folders {
		if p, err := strconv.ParseInt(name, 10, 32); err == nil && p >= 0 {
			out = append(out, int32(p))
		}
	}
	slices.Sort(out)
	return out, nil
}

// foldersIn lists the folders in dir in ascending order, none where there is no dir.
func foldersIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
