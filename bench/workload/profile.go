package workload

import (
	"errors"
	"os"
	"runtime/pprof"
)

// profile writes path.cpu until stop, and then path.heap: what is in use and what was ever allocated.
func profile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	cpu, err := os.Create(path + ".cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(path + ".heap")
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		return errors.Join(pprof.Lookup("heap").WriteTo(heap, 0), heap.Close(), cpu.Close())
	}, nil
}
