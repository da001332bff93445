package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// TopicsError lists everything wrong with a group's topics as they are in Kafka. Causes holds *state.TopicMissingError
// for inputs and tables that are only read, *MissingTableError for tables; the rest are mismatches to mend by hand.
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
	client, done, err := conf.connect("tarn")
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := conf.starting(ctx)
	defer cancel()
	if err := client.kafka.Connect(ctx); err != nil {
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
	return client.kafka.CreateTopics(ctx, specs)
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

// topicPoll is how often awaitTopics asks for topics that are missing.
const topicPoll = time.Second

// foreignTopics are those that the group reads and does not create.
func (e *environment) foreignTopics() []string {
	var names []string
	for _, in := range e.group.Inputs {
		if !in.Loop {
			names = append(names, in.Name)
		}
	}
	for _, r := range e.group.Reads {
		names = append(names, r.Name)
	}
	return names
}

// awaitTopics waits until the topics are there.
func awaitTopics(ctx context.Context, client *kafka.Client, log *slog.Logger, names ...string) error {
	for waits := 0; ; waits++ {
		topics, err := client.Refresh(ctx, names...)
		missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			_, gone := errors.AsType[*state.TopicMissingError](topics[name].Err)
			return !gone
		})
		if err == nil && len(missing) == 0 {
			return nil
		}
		if waits%30 == 0 {
			log.Warn("waiting for topics", "missing", missing, "error", err)
		}
		if !pause(ctx, topicPoll) {
			return context.Cause(ctx)
		}
	}
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
// Every mismatch is in the one *TopicsError. Where a topic goes meanwhile, it may be made again: all of them are looked at once more.
func checkTopics(ctx context.Context, env *environment) error {
	for {
		err := checkOnce(ctx, env)
		if _, final := errors.AsType[*TopicsError](err); final || !isMissing(err) {
			return err
		}
		if !pause(ctx, lookAgain) {
			return fmt.Errorf("processor: group %s: the topics are still changing: %w", env.group.Name, err)
		}
	}
}

func checkOnce(ctx context.Context, env *environment) error {
	c := &topicCheck{env: env}
	if err := c.look(ctx); err != nil {
		return err
	}
	c.inputs()
	if err := c.tables(ctx); err != nil {
		return err
	}
	c.loops()
	c.reads()
	c.outputs()
	c.letters()
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

// look asks until the answers agree. A topic that is just being made, by another process of the group for one, has no
// partitions yet, and not every broker knows it at once: one that is missing is missing when it has been so for a while.
func (c *topicCheck) look(ctx context.Context) error {
	for began := time.Now(); ; {
		err := c.lookOnce(ctx)
		if err != nil && !isMissing(err) {
			return err
		}
		settled, missing := err == nil, false
		for _, t := range c.topics {
			missing = missing || isMissing(t.Err)
			settled = settled && (t.Err != nil || len(t.Partitions) > 0)
		}
		if settled && (!missing || time.Since(began) >= missingFor) {
			return nil
		}
		if !pause(ctx, lookAgain) {
			return fmt.Errorf("processor: group %s: the topics are still changing: %w", c.env.group.Name, cmp.Or(err, context.Cause(ctx)))
		}
	}
}

// A look is repeated after lookAgain. What is missing for missingFor is taken for missing.
const (
	lookAgain  = 100 * time.Millisecond
	missingFor = 500 * time.Millisecond
)

func (c *topicCheck) lookOnce(ctx context.Context) (err error) {
	c.topics, err = c.env.client.Topics(ctx, c.env.topicNames()...)
	if err != nil {
		return err
	}
	var there []string
	for _, name := range c.env.kept() {
		if c.topics[name].Err == nil {
			there = append(there, name)
		}
	}
	for _, r := range c.env.group.Reads {
		if c.topics[r.Name].Err == nil {
			there = append(there, r.Name)
		}
	}
	there = append(there, c.letterRelated()...)
	c.configs, err = c.env.client.TopicConfigs(ctx, there...)
	return err
}

func isMissing(err error) bool {
	_, missing := errors.AsType[*state.TopicMissingError](err)
	return missing
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
	c.coPartitioned("table", t.Name)
	c.policy(t.Name)
}

func (c *topicCheck) coPartitioned(kind, name string) {
	if n := int32(len(c.topics[name].Partitions)); c.partitions > 0 && n != c.partitions {
		c.fault("%s %s has %d partitions, the inputs have %d: they must be co-partitioned", kind, name, n, c.partitions)
	}
}

func (c *topicCheck) policy(table string) {
	policy := c.configs[table]["cleanup.policy"]
	if policy != "" && !strings.Contains(policy, "compact") {
		c.fault("table %s has cleanup.policy=%s: its rows would expire; set compact", table, policy)
	} else if strings.Contains(policy, "delete") {
		c.env.log.Warn("the table's topic also deletes by age or size: its rows will expire", "table", table, "cleanup.policy", policy)
	}
	const least = 10 * time.Minute
	if ms, err := strconv.ParseInt(c.configs[table]["delete.retention.ms"], 10, 64); err == nil && ms < least.Milliseconds() {
		c.env.log.Warn("the table's topic forgets deletions soon: who stops for longer has to verify or rebuild its rows",
			"table", table, "delete.retention.ms", ms)
	}
}

// reads looks at tables that others write: nothing of them is created here.
func (c *topicCheck) reads() {
	for _, r := range c.env.group.Reads {
		if c.missing(r.Name) {
			c.faults = append(c.faults, &state.TopicMissingError{Topic: r.Name})
			continue
		}
		if c.topics[r.Name].Err != nil {
			continue
		}
		if !r.Lookup {
			c.coPartitioned("joined table", r.Name)
		}
		c.said(r.Topic, int32(len(c.topics[r.Name].Partitions)))
		c.policy(r.Name)
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
	stores, err := c.env.dir.Stores(t.Name)
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

// letterRelated names the topics whose configs matter to dead letters: theirs, and those of the inputs.
func (c *topicCheck) letterRelated() (there []string) {
	if len(c.env.letters) == 0 {
		return nil
	}
	for _, t := range c.env.letters {
		there = append(there, t.Name)
	}
	for _, in := range c.env.group.Inputs {
		if !in.Loop { // the configs of a loop's topic are asked for in any case
			there = append(there, in.Name)
		}
	}
	return slices.DeleteFunc(there, func(name string) bool { return c.topics[name].Err != nil })
}

// letters looks at the topics of dead letters. One that is made has room for the largest record of the inputs.
func (c *topicCheck) letters() {
	largest := 0
	for _, in := range c.env.group.Inputs {
		largest = max(largest, kafka.LimitsOf(c.configs[in.Name]).RecordBytes)
	}
	for _, t := range c.env.letters {
		cleanup := c.configs[t.Name]["cleanup.policy"]
		switch {
		case c.missing(t.Name):
			c.create = append(c.create, topicSpec(t, c.partitions, map[string]string{"max.message.bytes": strconv.Itoa(largest + policy.LetterBytes)}))
		case strings.Contains(cleanup, "compact"):
			c.fault("topic of dead letters %s has cleanup.policy=%s: they would replace each other; set delete", t.Name, cleanup)
		case c.topics[t.Name].Err == nil:
			c.said(t, int32(len(c.topics[t.Name].Partitions)))
		}
	}
}

// gone is the error of a topic that was there, or was created, a moment ago.
func (c *topicCheck) gone(t kafka.Topic, name string) error {
	return fmt.Errorf("processor: group %s: %w", c.env.group.Name, cmp.Or(t.Err, error(&state.TopicMissingError{Topic: name})))
}

// note learns what the tasks need of the topics as they are now.
func (c *topicCheck) note(ctx context.Context) error {
	env := c.env
	env.partitions, env.readPartitions = nil, nil
	topics, err := env.client.Topics(ctx, env.topicNames()...)
	if err != nil {
		return err
	}
	for _, o := range env.group.Outputs {
		n := int32(len(topics[o.Name].Partitions))
		if n == 0 {
			return c.gone(topics[o.Name], o.Name)
		}
		env.partitions = append(env.partitions, n)
	}
	for _, r := range env.group.Reads {
		n := int32(len(topics[r.Name].Partitions))
		if n == 0 {
			return c.gone(topics[r.Name], r.Name)
		}
		env.readPartitions = append(env.readPartitions, n)
	}
	for _, t := range env.letters {
		n := int32(len(topics[t.Name].Partitions))
		if n == 0 {
			return c.gone(topics[t.Name], t.Name)
		}
		env.letterPartitions[t.Name] = n
	}
	env.taskCount = c.partitions
	if len(env.written) == 0 {
		return nil
	}
	configs, err := env.client.TopicConfigs(ctx, env.written...)
	if err != nil {
		return err
	}
	for _, name := range env.written {
		l := kafka.LimitsOf(configs[name])
		env.limits[name] = scope.Limits{Bytes: l.RecordBytes, Size: sizeOf, Before: l.Before, After: l.After}
	}
	return nil
}

// sizeOf is the exact size of what is to be written, alone in its batch.
func sizeOf(e scope.Emission) int {
	return kafka.EncodedSize(&kafka.OutRecord{Key: bytesOf(e.Key), Value: e.Value, Headers: stateHeaders(e.Headers)})
}
