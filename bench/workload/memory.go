package workload

import (
	"fmt"
	"os"
	"strings"
)

// PeakMemory is the most memory this process has had resident so far (VmHWM), in bytes; 0 where the system does not tell.
func PeakMemory() int64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return peakOf(string(data))
}

func peakOf(status string) int64 {
	for line := range strings.Lines(status) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
