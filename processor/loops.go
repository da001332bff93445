package processor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
)

// loopConfigs keep a loop's records until the group has read them, however long it is away.
func loopConfigs() map[string]string {
	return map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
}

// loops looks at the loops' topics, as far as they are there.
func (c *topicCheck) loops() {
	for _, in := range c.env.group.Inputs {
		if !in.Loop {
			continue
		}
		spec := topicSpec(in.Topic, c.partitions, loopConfigs())
		missing := c.missing(in.Name)
		switch n := int32(len(c.topics[in.Name].Partitions)); {
		case missing:
			c.create = append(c.create, spec)
			c.loopPartitions(in.Topic, spec.Partitions)
			c.loopConfigs(in.Name, spec.Configs)
		case n > 0:
			c.said(in.Topic, n)
			c.loopPartitions(in.Topic, n)
			c.loopConfigs(in.Name, c.configs[in.Name])
		}
	}
}

func (c *topicCheck) loopPartitions(t scope.Topic, n int32) {
	if c.partitions > 0 && n != c.partitions {
		c.fault("loop %s has %d partitions, the inputs have %d: they must be co-partitioned", t.Name, n, c.partitions)
	}
}

// loopConfigs looks at configs as they are or as they will be.
func (c *topicCheck) loopConfigs(loop string, configs map[string]string) {
	if p := configs["cleanup.policy"]; strings.Contains(p, "compact") {
		c.fault("loop %s has cleanup.policy=%s: records of one key would be lost before they are read; set delete", loop, p)
	}
	for _, key := range []string{"retention.ms", "retention.bytes"} {
		if v := configs[key]; v != "" && v != "-1" {
			c.env.log.Warn("the loop's topic has a limit: records that the group has not read in time are lost; set -1", "loop", loop, key, v)
		}
	}
}

const (
	// trimInterval is that of Kafka Streams (repartition.purge.interval.ms).
	trimInterval = 30 * time.Second
	// trimPatience bounds what is asked of the broker for one loop in one turn.
	trimPatience = 10 * time.Second
)

// trimmer removes what the group has read from the topics of its loops, now and then.
//
// The naive way removes up to where a task reads, or up to an offset commit that was sent: after a crash, records whose
// effects never reached Kafka are gone. The rule: the log start is raised to a position only after Kafka has confirmed
// the commit of that position, for a task whose lease lives, on the topic that the position speaks of. A group's
// committed offset does not go back under its owner, so that a zombie, too, asks for no more than the group has read.
//
// Nothing depends on it but the disk of the brokers: trouble is logged, and the next turn asks again.
type trimmer struct {
	env     *environment
	refused map[string]bool // loops whose broker has refused, which was said
}

func newTrimmer(env *environment) *trimmer { return &trimmer{env: env, refused: map[string]bool{}} }

func (tr *trimmer) run(ctx context.Context) error {
	if !slices.ContainsFunc(tr.env.group.Inputs, func(in scope.Input) bool { return in.Loop }) {
		return nil
	}
	every(ctx, trimInterval, func() {
		due := tr.due()
		for _, loop := range slices.Sorted(maps.Keys(due)) {
			tr.say(ctx, loop, tr.trim(ctx, loop, due[loop]))
		}
	})
	return nil
}

// due gives, by loop and partition, the inputs that have moved on since they were trimmed.
func (tr *trimmer) due() map[string]map[int32]*input {
	due := map[string]map[int32]*input{}
	for _, t := range tr.env.tasks.all() {
		if t.state.Load() != taskRunning || t.lease.Err() != nil {
			continue
		}
		for _, in := range t.inputs {
			if m := in.committed.Load(); !in.loop || m == nil || m.topic == in.trimmed.topic && m.position <= in.trimmed.position {
				continue
			}
			if due[in.topic] == nil {
				due[in.topic] = map[int32]*input{}
			}
			due[in.topic][t.partition] = in
		}
	}
	return due
}

func (tr *trimmer) trim(ctx context.Context, loop string, inputs map[int32]*input) error {
	ctx, cancel := context.WithTimeout(ctx, trimPatience)
	defer cancel()
	found, err := tr.env.client.Refresh(ctx, loop)
	if err != nil {
		return err
	}
	to := make(map[int32]int64, len(inputs))
	for p, in := range inputs {
		if m := in.committed.Load(); found[loop].ID == m.topic { // else it is of a topic that is gone, which the task will find out
			to[p] = m.position
		}
	}
	if err := tr.env.client.DeleteRecords(ctx, loop, to); err != nil {
		return err
	}
	for p, offset := range to {
		inputs[p].trimmed = mark{found[loop].ID, offset}
	}
	tr.env.log.Debug("loop trimmed", "loop", loop, "to", to)
	return nil
}

// say logs how a turn went; a refusal, which will be the same the next time, once.
func (tr *trimmer) say(ctx context.Context, loop string, err error) {
	code, refusal := errors.AsType[*kafka.Error](err)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		tr.refused[loop] = false
	case !refusal || code.Retriable():
		tr.env.log.Warn("what a loop has read is not removed now, but later", "loop", loop, "error", err)
	case !tr.refused[loop]:
		tr.env.log.Warn("the broker refuses to remove what a loop has read: its topic grows", "loop", loop, "error", err)
		tr.refused[loop] = true
	}
}
