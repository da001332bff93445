//go:build !unix

package state

import (
	"path/filepath"
	"strings"
)

// fileIdentity is the directory's path where there are no inodes to be had.
func fileIdentity(path string) (string, error) {
	dir, err := filepath.Abs(filepath.Dir(path))
	return strings.ReplaceAll(dir, " ", "_"), err
}
