package figures

import (
	"fmt"

	"github.com/tarnstream/tarn/observe"
)

// Held is what one run of tarn took of its memory option.
type Held struct {
	Work   string
	Option int64 // 0: the default
	// InUse is the most of what was in use at a time, Parts the most of each part at any time; Idle and Peak are the process's
	// peak memory before and after. All in bytes.
	InUse      int64
	Parts      observe.MemoryStats
	Idle, Peak int64
	Seconds    float64
}

// HeldTable shows them.
func HeldTable(all []Held, form Form) string {
	header := []string{"option MiB", "work", "bound", "in use", "process +", "peak", "layers", "rows", "fetched", "producing", "rebuilds", "stores", "blocks", "fixed", "s"}
	var rows [][]string
	for _, h := range all {
		option := "default"
		if h.Option > 0 {
			option = fmt.Sprint(h.Option >> 20)
		}
		m := h.Parts
		rows = append(rows, []string{option, h.Work, mib(m.Bound), mib(h.InUse), mib(h.Peak - h.Idle), mib(h.Peak), tenths(m.Layers), tenths(m.Rows), tenths(m.Fetched),
			tenths(m.Producing), tenths(m.Rebuilds), tenths(m.Stores), tenths(m.Blocks), tenths(m.Fixed), fmt.Sprintf("%.1f", h.Seconds)})
	}
	return tabulate(header, rows, []int{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, form)
}

func tenths(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }
