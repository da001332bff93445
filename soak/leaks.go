package main

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/goleak"
)

// census is what a process has open.
type census struct {
	files      int // -1 where it cannot be known
	goroutines goleak.Option
}

// count takes the census. It opens the runtime's own files first.
func count() (census, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return census{}, err
	}
	if err := r.SetReadDeadline(time.Now()); err != nil {
		return census{}, err
	}
	_, _ = r.Close(), w.Close()
	return census{files: openFiles(), goroutines: goleak.IgnoreCurrent()}, nil
}

func openFiles() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(names)
}

// linger is how long what ends by itself may take.
const linger = 2 * time.Second

// compare tells what has been left behind since the census.
func (c census) compare() error {
	err := goleak.Find(c.goroutines,
		goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"), // ends a second after its DB
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))  // sarama's, for the life of the process
	if err != nil {
		return fmt.Errorf("goroutines are left: %w", err)
	}
	now := openFiles()
	for end := time.Now().Add(linger); now > c.files && time.Now().Before(end); now = openFiles() {
		time.Sleep(50 * time.Millisecond)
	}
	if now > c.files {
		return fmt.Errorf("%d file handles were open before, %d are after", c.files, now)
	}
	return nil
}
