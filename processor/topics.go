package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// TopicsError lists everything wrong with a group's topics as they are in Kafka. Causes holds *state.TopicMissingError
// for inputs and *MissingTableError for tables; the rest are mismatches to mend by hand.
type TopicsError struct {
	Group  string
	Causes []error
}

func (e *TopicsError) Error() string {
	parts := make([]string, len(e.Causes))
	for i, c := range e.Causes {
		parts[i] = c.Error()
	}
	return fmt.Sprintf("processor: group %s: topics: %s", e.Group, strings.Join(parts, "; "))
}

// Unwrap gives the causes.
func (e *TopicsError) Unwrap() []error { return e.Causes }

// MissingTableError says that a table's topic is missing although the group has committed offsets or state on disk: a
// new, empty table would be counted on as if nothing had been there. Restore the topic, or reset the group, or start
// with RecreateTables.
type MissingTableError struct {
	Table string
	// Offsets: the group has committed offsets. Dir: the folder that has state, empty for none.
	Offsets bool
	Dir     string
}

func (e *MissingTableError) Error() string {
	why := "the group has committed offsets"
	if e.Dir != "" {
		why = "there is state in " + e.Dir
	}
	return fmt.Sprintf("topic of table %s is missing but %s (processor.RecreateTables starts it empty)", e.Table, why)
}

// CreateTopics creates the topics of handles that do not exist. A topic that exists is left as it is. Tables are
// created compacted. Without topology.Partitions a topic gets the broker's default number.
func CreateTopics(ctx context.Context, options []Option, handles ...topology.Handle) error {
	conf, err := configure(false, options)
	if err != nil {
		return err
	}
	client, err := kafka.NewClient(conf.kafka)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, conf.startTimeout)
	defer cancel()
	if err := client.Connect(ctx); err != nil {
		return err
	}
	var specs []kafka.TopicSpec
	for _, h := range handles {
		var configs map[string]string
		if _, table := h.(interface{ Table() }); table {
			configs = tableConfigs()
		}
		specs = append(specs, topicSpec(h.Spec(), -1, configs))
	}
	return client.CreateTopics(ctx, specs)
}

func tableConfigs() map[string]string { return map[string]string{"cleanup.policy": "compact"} }

// topicSpec says how a topic is made; partitions and configs count where the handle says nothing.
func topicSpec(t scope.Topic, partitions int32, configs map[string]string) kafka.TopicSpec {
	s := kafka.TopicSpec{Name: t.Name, Partitions: partitions, ReplicationFactor: -1, Configs: map[string]string{}}
	if t.Partitions > 0 {
		s.Partitions = t.Partitions
	}
	if t.Replication > 0 {
		s.ReplicationFactor = t.Replication
	}
	maps.Copy(s.Configs, configs)
	maps.Copy(s.Configs, t.Configs)
	return s
}

// topicCheck looks at the topics of a group at start.
type topicCheck struct {
	env        *environment
	topics     map[string]kafka.Topic
	configs    map[string]map[string]string
	partitions int32 // of the inputs
	create     []kafka.TopicSpec
	faults     []error
}

// checkTopics compares the topics with the group, creates what is missing, and notes in env what the tasks need.
// Every mismatch is in the one *TopicsError.
func checkTopics(ctx context.Context, env *environment) error {
	c := &topicCheck{env: env}
	if err := c.look(ctx); err != nil {
		return err
	}
	c.inputs()
	if err := c.tables(ctx); err != nil {
		return err
	}
	c.loops()
	c.outputs()
	if len(c.faults) > 0 {
		return &TopicsError{Group: env.group.Name, Causes: c.faults}
	}
	if len(c.create) > 0 {
		if err := env.client.CreateTopics(ctx, c.create); err != nil {
			return fmt.Errorf("processor: group %s: create topics: %w", env.group.Name, err)
		}
	}
	return c.note(ctx)
}

func (c *topicCheck) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

func (c *topicCheck) look(ctx context.Context) (err error) {
	c.topics, err = c.env.client.Refresh(ctx, c.env.topicNames()...)
	if err != nil {
		return err
	}
	var there []string
	for _, name := range c.env.kept() {
		if c.topics[name].Err == nil {
			there = append(there, name)
		}
	}
	if len(there) > 0 {
		c.configs, err = c.env.client.TopicConfigs(ctx, there...)
	}
	return err
}

// missing tells whether a topic is missing; any other trouble with it is a fault.
func (c *topicCheck) missing(name string) bool {
	err := c.topics[name].Err
	var m *state.TopicMissingError
	if err != nil && !errors.As(err, &m) {
		c.faults = append(c.faults, err)
	}
	return m != nil
}

func (c *topicCheck) inputs() {
	counts := map[int32][]string{}
	for _, in := range c.env.group.Inputs {
		if in.Loop {
			continue
		}
		if c.missing(in.Name) {
			c.faults = append(c.faults, &state.TopicMissingError{Topic: in.Name})
		} else if n := int32(len(c.topics[in.Name].Partitions)); n > 0 {
			counts[n] = append(counts[n], in.Name)
			c.partitions = n
			c.said(in.Topic, n)
		}
	}
	if len(counts) > 1 {
		var parts []string
		for _, n := range slices.Sorted(maps.Keys(counts)) {
			parts = append(parts, fmt.Sprintf("%s have %d", strings.Join(counts[n], ", "), n))
		}
		c.fault("inputs must have the same number of partitions: %s", strings.Join(parts, ", "))
	}
}

// said compares a topic's partitions with what its handle says.
func (c *topicCheck) said(t scope.Topic, n int32) {
	if t.Partitions > 0 && t.Partitions != n {
		c.fault("topic %s has %d partitions, its handle says %d", t.Name, n, t.Partitions)
	}
}

func (c *topicCheck) tables(ctx context.Context) error {
	for _, t := range c.env.group.Tables {
		if t.Partitions > 0 && c.partitions > 0 && t.Partitions != c.partitions {
			c.fault("table %s: its handle says %d partitions, the inputs have %d", t.Name, t.Partitions, c.partitions)
		}
		if missing := c.missing(t.Name); !missing {
			if c.topics[t.Name].Err == nil {
				c.table(t)
			}
			continue
		}
		if err := c.missingTable(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (c *topicCheck) table(t scope.Table) {
	if n := int32(len(c.topics[t.Name].Partitions)); c.partitions > 0 && n != c.partitions {
		c.fault("table %s has %d partitions, the inputs have %d: they must be co-partitioned", t.Name, n, c.partitions)
	}
	policy := c.configs[t.Name]["cleanup.policy"]
	if policy != "" && !strings.Contains(policy, "compact") {
		c.fault("table %s has cleanup.policy=%s: its rows would expire; set compact", t.Name, policy)
	} else if strings.Contains(policy, "delete") {
		c.env.log.Warn("the table's topic also deletes by age or size: its rows will expire", "table", t.Name, "cleanup.policy", policy)
	}
}

func (c *topicCheck) missingTable(ctx context.Context, t scope.Table) error {
	spec := topicSpec(t.Topic, c.partitions, tableConfigs())
	if p := spec.Configs["cleanup.policy"]; !strings.Contains(p, "compact") {
		c.fault("table %s: its handle says cleanup.policy=%s; a table's topic is compacted", t.Name, p)
		return nil
	}
	c.create = append(c.create, spec)
	if c.env.conf.recreate {
		return nil
	}
	stores, err := c.env.dir.Partitions(t.Name)
	if err != nil {
		return err
	}
	if len(stores) > 0 {
		c.faults = append(c.faults, &MissingTableError{Table: t.Name, Dir: c.env.dir.Dir()})
		return nil
	}
	has, err := c.hasOffsets(ctx)
	if has {
		c.faults = append(c.faults, &MissingTableError{Table: t.Name, Offsets: true})
	}
	return err
}

func (c *topicCheck) hasOffsets(ctx context.Context) (bool, error) {
	if c.partitions == 0 {
		return false, nil
	}
	want := map[string][]int32{}
	for _, in := range c.env.group.Inputs {
		for p := range c.partitions {
			want[in.Name] = append(want[in.Name], p)
		}
	}
	committed, err := c.env.client.CommittedOffsets(ctx, c.env.group.Name, want)
	for _, ps := range committed {
		for _, o := range ps {
			if o.Position > 0 {
				return true, err
			}
		}
	}
	return false, err
}

func (c *topicCheck) outputs() {
	for _, o := range c.env.group.Outputs {
		if o.Loop {
			continue
		}
		if c.missing(o.Name) {
			c.create = append(c.create, topicSpec(o.Topic, c.partitions, nil))
		} else if c.topics[o.Name].Err == nil {
			c.said(o.Topic, int32(len(c.topics[o.Name].Partitions)))
		}
	}
}

// note learns what the tasks need of the topics as they are now.
func (c *topicCheck) note(ctx context.Context) error {
	env := c.env
	topics, err := env.client.Refresh(ctx, env.topicNames()...)
	if err != nil {
		return err
	}
	for _, o := range env.group.Outputs {
		n := int32(len(topics[o.Name].Partitions))
		if n == 0 {
			return fmt.Errorf("processor: group %s: %w", env.group.Name, cmp.Or(topics[o.Name].Err, error(&state.TopicMissingError{Topic: o.Name})))
		}
		env.partitions = append(env.partitions, n)
	}
	env.taskCount = c.partitions
	if len(env.written) == 0 {
		return nil
	}
	probe := env.client.NewProducer(kafka.ProducerConfig{})
	defer probe.Close()
	if err := probe.Prepare(ctx, env.written...); err != nil {
		return err
	}
	for _, name := range env.written {
		env.limits[name] = probe.MaxRecordBytes(name)
	}
	return nil
}
