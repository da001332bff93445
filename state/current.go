package state

import (
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"
)

// CURRENT is one line: "tarn-current 1 NAME CRC", NAME a generation or "none", CRC the CRC-32C of what is before the
// last space in eight hex digits.
const noGeneration = "none"

func encodeCurrent(name string) []byte {
	body := "tarn-current 1 " + name
	return fmt.Appendf(nil, "%s %08x\n", body, crc32.Checksum([]byte(body), castagnoli))
}

func decodeCurrent(data []byte) (string, error) {
	f := strings.Fields(string(data))
	if len(f) != 4 || string(encodeCurrent(f[2])) != string(data) {
		return "", fmt.Errorf("CURRENT is malformed: %.60q", data)
	}
	if _, ok := generationNumber(f[2]); !ok && f[2] != noGeneration {
		return "", fmt.Errorf("CURRENT names %q, which is no generation", f[2])
	}
	return f[2], nil
}

func generationName(n uint64) string { return fmt.Sprintf("g%08d", n) }

func generationNumber(name string) (uint64, bool) {
	var n uint64
	if _, err := fmt.Sscanf(name, "g%d", &n); err != nil || generationName(n) != name {
		return 0, false
	}
	return n, true
}

// writeCurrent makes name the current generation, durably: aside, rename, sync the directory.
func (d *disk) writeCurrent(name string) error {
	path := filepath.Join(d.dir, currentFile)
	err := d.o.FS.WriteFile(path+".new", encodeCurrent(name))
	if err == nil {
		err = d.o.FS.Rename(path+".new", path)
	}
	if err == nil {
		err = d.o.FS.SyncDir(d.dir)
	}
	if err != nil {
		return fmt.Errorf("state: write CURRENT of %s: %w", d.dir, err)
	}
	return nil
}
