package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/tarnstream/tarn/bench/figures"
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

// sampleOf is what is kept of a run.
func sampleOf(j workload.Job, out workload.Outcome) figures.Sample {
	return figures.Sample{Work: j.Work, Client: j.Client, Records: j.Records, Seconds: out.Seconds, CPU: out.CPU, Idle: out.Idle, Peak: out.Peak}
}
