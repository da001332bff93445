package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/tarnstream/tarn/internal/layout"
)

// The file is one line: "tarn-instance 1 UUID PLACE". PLACE is where it was made: the host and the file's own identity
// there, which a copy does not share and a move on one file system does.
func (g *GroupDir) loadInstance() error {
	path := filepath.Join(g.dir, layout.Instance)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("state: read %s: %w", path, err)
	}
	if err != nil {
		return g.newInstance("the directory is new")
	}
	f := strings.Fields(string(data))
	if len(f) != 4 || f[0] != "tarn-instance" || f[1] != "1" {
		return g.newInstance("its file was malformed")
	}
	id, err := uuid.Parse(f[2])
	if err != nil {
		return g.newInstance("its file was malformed")
	}
	here, err := place(path)
	if err != nil {
		return err
	}
	if f[3] != here {
		return g.newInstance("the directory was copied or moved from " + f[3])
	}
	g.instance = id.String()
	return nil
}

// newInstance writes aside first: the file's identity must be known before its content is, and survives the rename.
func (g *GroupDir) newInstance(why string) error {
	path := filepath.Join(g.dir, layout.Instance)
	f, err := os.Create(path + ".new")
	if err != nil {
		return fmt.Errorf("state: write %s: %w", path, err)
	}
	id := uuid.NewString()
	here, err := place(path + ".new")
	if err == nil {
		_, err = fmt.Fprintf(f, "tarn-instance 1 %s %s\n", id, here)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("state: write %s: %w", path, err)
	}
	g.instance, g.note = id, why
	return nil
}

// place names this file on this host, without spaces.
func place(path string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("state: host name: %w", err)
	}
	file, err := fileIdentity(path)
	if err != nil {
		return "", fmt.Errorf("state: identity of %s: %w", path, err)
	}
	return strings.Join(strings.Fields(host), "_") + "/" + file, nil
}
