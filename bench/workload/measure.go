package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
)

// Measure does a job in a process of its own, with topics of its own beside the one that it reads, and verifies what it did.
// self is the command that reads a Job from its standard input and writes the Outcome.
func Measure(ctx context.Context, client *kafka.Client, j Job, self ...string) (out Outcome, err error) {
	if err := prepare(ctx, client, j); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, remove(ctx, client, topicsOf(j)...)) }()
	if j.Work == Restart {
		return restart(ctx, client, j, self)
	}
	if out, err = Process(ctx, j, self...); err != nil {
		return out, err
	}
	return out, verify(ctx, client, j, out)
}

// Process does a job in a process of its own, which self begins.
func Process(ctx context.Context, j Job, self ...string) (out Outcome, err error) {
	cmd, err := command(ctx, j, self)
	if err != nil {
		return out, err
	}
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, os.Stderr
	if err := cmd.Run(); err != nil {
		return out, fmt.Errorf("workload: %s %s: %w", j.Client, j.Work, err)
	}
	if err := json.Unmarshal(printed.Bytes(), &out); err != nil {
		return out, fmt.Errorf("workload: %s %s: read the outcome: %w", j.Client, j.Work, err)
	}
	out.CPU = cpuOf(cmd)
	return out, nil
}

// cpuOf is the processor time of a process that has ended.
func cpuOf(cmd *exec.Cmd) float64 {
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// command is a process that does a job.
func command(ctx context.Context, j Job, self []string) (*exec.Cmd, error) {
	if isStreams(j.Client) {
		return streamsCommand(ctx, j)
	}
	j.Began = time.Now()
	in, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self[0], self[1:]...)
	cmd.Stdin = bytes.NewReader(in)
	return cmd, nil
}

// remove deletes topics, also when ctx has ended, with the broker perhaps.
func remove(ctx context.Context, client *kafka.Client, topics ...string) error {
	if len(topics) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return client.DeleteTopics(ctx, topics...)
}
