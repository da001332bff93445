//go:build unix

package state

import (
	"fmt"
	"os"
	"syscall"
)

// fileIdentity is the file's inode.
func fileIdentity(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "unknown", nil
	}
	return fmt.Sprint(st.Ino), nil
}
