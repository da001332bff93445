package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"

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

// measure runs a job in a process of its own.
func measure(ctx context.Context, job workload.Job) (figures.Sample, workload.Outcome, error) {
	var outcome workload.Outcome
	self, err := os.Executable()
	if err != nil {
		return figures.Sample{}, outcome, err
	}
	in, err := json.Marshal(job)
	if err != nil {
		return figures.Sample{}, outcome, err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, self, clientCommand)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return figures.Sample{}, outcome, fmt.Errorf("%s %s: %w", job.Client, job.Work, err)
	}
	if err := json.Unmarshal(out.Bytes(), &outcome); err != nil {
		return figures.Sample{}, outcome, fmt.Errorf("%s %s: read the outcome: %w", job.Client, job.Work, err)
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return figures.Sample{Work: job.Work, Client: job.Client, Records: job.Records, Seconds: outcome.Seconds,
		CPU: cpu.Seconds(), Idle: outcome.Idle, Peak: outcome.Peak}, outcome, nil
}
