package layout

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// listed looks for a lock of the file in the kernel's list, whose lines are
//
//	1: FLOCK  ADVISORY  WRITE 4711 fe:00:1312 0 EOF
//
// with the process, and the file's device (major and minor in hex) and inode. Some file systems tell another device there
// than stat does: then the process that the file names must be the same. known is false where there is no list.
func listed(path string, pid int) (held, known bool) {
	info, err := os.Stat(path)
	if err != nil {
		return false, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false, false
	}
	dev := uint64(st.Dev)
	major, minor := (dev>>8)&0xfff|(dev>>32)&^0xfff, dev&0xff|(dev>>12)&^0xff
	device, inode := fmt.Sprintf("%02x:%02x", major, minor), strconv.FormatUint(st.Ino, 10)
	read := func() ([]byte, error) { return os.ReadFile("/proc/locks") }
	return inList(read, device, inode, strconv.Itoa(pid))
}

// inList looks into the list until it has the lock, or has been without it several times.
func inList(read func() ([]byte, error), device, inode, pid string) (held, known bool) {
	for range listings {
		list, err := read()
		if err != nil {
			return false, false
		}
		if lists(string(list), device, inode, pid) {
			return true, true
		}
	}
	return false, true
}

// listings is how often the list is read before a lock is not in it: it is read in pieces, and while others take and
// release locks a line may fall between two of them.
const listings = 5

// lists looks for a lock of the inode.
func lists(list, device, inode, pid string) bool {
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" {
			continue
		}
		at := strings.LastIndexByte(f[5], ':')
		if at >= 0 && f[5][at+1:] == inode && (f[5][:at] == device || f[4] == pid) {
			return true
		}
	}
	return false
}
