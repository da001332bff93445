package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/tarnstream/tarn/bench/workload"
)

// clientCommand makes this program one of the clients: a job comes in on standard input, its outcome goes out.
const clientCommand = "client"

func client(ctx context.Context, in io.Reader, out io.Writer) error {
	var job workload.Job
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	outcome, err := workload.Run(ctx, job)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(outcome)
}

// self is the command that does a job.
func self() ([]string, error) {
	program, err := os.Executable()
	return []string{program, clientCommand}, err
}
