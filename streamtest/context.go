package streamtest

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/topology"
)

// Context calls the callbacks of a group, one record at a time, over tables in memory: without a broker, without a
// goroutine, in microseconds. What a callback wrote is part of the tables and of Records when it has returned nil, all of
// it; after an error or a panic nothing is, as in a processor. It belongs to the test's goroutine.
//
// What is not there: partitions (but see AsTask), restores, commits, the processor's ways with a record that fails; for
// those see Run. What is emitted to a Loop is among the Records, and is handled when the test calls it.
type Context struct {
	t      testing.TB
	group  *scope.Group
	frame  *scope.Frame
	tables memory
	topics map[string][]placed
	calls  map[string]int64 // by topic
	task   int32
	of     int32 // 0: every key is a row of this task
	asked  bool  // AsTask was given
}

// ContextOption says more of a Context.
type ContextOption func(*Context)

// AsTask makes the Context task p of n, as a processor with n partitions has them: a callback that uses a key of another
// partition gets a *topology.PartitionError. Without it all keys are the task's.
func AsTask(p, n int) ContextOption {
	return func(c *Context) { c.task, c.of, c.asked = int32(p), int32(n), true }
}

// NewContext makes a Context with empty tables.
func NewContext(t testing.TB, g *topology.Group, options ...ContextOption) *Context {
	t.Helper()
	group := g.Description()
	c := &Context{t: t, group: group, topics: map[string][]placed{}, calls: map[string]int64{}}
	for _, o := range options {
		o(c)
	}
	if c.asked && (c.task < 0 || c.task >= c.of) {
		t.Fatalf("streamtest: AsTask(%d, %d): tasks are numbered from 0", c.task, c.of)
	}
	c.tables = make(memory, len(group.Tables)+len(group.Reads))
	for i := range c.tables {
		c.tables[i] = map[string][]byte{}
	}
	c.frame = scope.NewFrame(t.Context(), group, c.tables)
	c.frame.SetTask(c.task, c.of)
	for i, l := range c.frame.Layers() {
		l.SetLimits(limitsOf(group.Tables[i].Topic))
	}
	var reads []scope.ReadBacking
	for i := range group.Reads {
		reads = append(reads, readTable{c.tables, len(group.Tables) + i})
	}
	c.frame.SetReads(reads)
	for i, o := range group.Outputs {
		c.frame.SetOutputLimits(i, limitsOf(o.Topic))
	}
	return c
}

// limitsOf is what a topic takes: what its handle says, else Kafka's default size and any time.
func limitsOf(t scope.Topic) scope.Limits {
	l := kafka.LimitsOf(t.Configs)
	return scope.Limits{Bytes: l.RecordBytes, Before: l.Before, After: l.After}
}

// Set gives key a row in a table that the group keeps, joins or looks up, as if it had been written long ago: it is not
// among the Records.
func Set[T any](c *Context, table Handle[T], key string, value T) {
	c.t.Helper()
	if err := set(c, table, []byte(key), value); err != nil {
		c.t.Fatalf("streamtest: Set: table %s, key %.64q: %v", table.Name(), key, err)
	}
	c.commit(false)
}

func set[T any](c *Context, table Handle[T], key []byte, value T) error {
	c.t.Helper()
	at, spec := c.table(table), table.Spec()
	if read := at - len(c.group.Tables); read >= 0 {
		data, err := table.Codec().Encode([]byte{}, value)
		if err == nil && !c.group.Reads[read].Lookup {
			err = c.frame.Own(&spec, key)
		}
		if err == nil {
			c.tables[at][string(key)] = data
		}
		return err
	}
	return c.frame.Run(scope.Record{}, func(f *scope.Frame) error { // past the rows that the frame has read already
		o, err := scope.Of[T](f, spec.Handle, spec.Name)
		if err == nil {
			err = f.Own(&spec, key)
		}
		if err != nil {
			return err
		}
		return o.Set(key, value, 0)
	})
}

// Call handles a record of one of the group's input streams and gives the callback's error, just as it was returned. A
// panic goes on. A record with a null value goes to OnDelete; without one nothing is called.
func Call[T any](c *Context, s *topology.Stream[T], r Record[T]) error {
	c.t.Helper()
	p, err := encode(s, r)
	if err != nil {
		c.t.Fatalf("streamtest: Call: %v", err)
	}
	return c.call(s.Name(), p)
}

// Call is the function Call with the bytes of a value, which the stream's codec may refuse: then the error is a
// *topology.DecodeError.
func (c *Context) Call(topic, key, value string) error {
	c.t.Helper()
	return c.call(topic, placed{partition: -1, Record: devbroker.Record{Key: []byte(key), Value: []byte(value)}})
}

func (c *Context) call(topic string, p placed) error {
	c.t.Helper()
	in := c.input(topic)
	r := c.record(topic, p)
	call := in.Call
	if r.Value == nil {
		call = in.OnDelete
	}
	if call == nil {
		return nil
	}
	if err := c.frame.Run(r, call); err != nil {
		return err
	}
	c.commit(true)
	return nil
}

// Visit runs the callback that topology.Visit gave a name over every row that its table has now, in the order of their
// keys, and tells how many it was. A row that the visit itself has removed meanwhile is left out. An error is the
// callback's own, and ends the visit; a panic goes on.
func (c *Context) Visit(name string) (n int64, err error) {
	c.t.Helper()
	at := slices.IndexFunc(c.group.Visits, func(v scope.Visit) bool { return v.Name == name })
	if at < 0 {
		c.t.Fatalf("streamtest: group %s has no visit %q", c.group.Name, name)
	}
	v := c.group.Visits[at]
	table := c.group.TableIndex(v.Table.Handle)
	for _, key := range slices.Sorted(maps.Keys(c.tables[table])) {
		value, ok := c.tables[table][key]
		if !ok {
			continue
		}
		r := scope.Record{Topic: v.Table.Name, Partition: c.task, Offset: -1, Timestamp: time.Now().UnixMilli(), Key: []byte(key), Value: value}
		if err := c.frame.Run(r, v.Call); err != nil {
			return n, err
		}
		c.commit(true)
		n++
	}
	return n, nil
}

// Added gives the rows that callbacks have handed to an effect since the last Commit.
func Added[T any](c *Context, e *topology.Effect[T]) []T {
	c.t.Helper()
	rows, ok := scope.Added[T](c.frame, e)
	if !ok {
		c.t.Fatalf("streamtest: group %s has no effect %s", c.group.Name, e.Name())
	}
	return rows
}

// Commit does the group's effects for the rows of Added, as a task does before it commits; nothing else waits for it. The
// first error is given just as it was returned, and what is left is not done.
func (c *Context) Commit() error {
	for _, b := range c.frame.Effects() {
		if do := b.Take(); do != nil {
			if err := do(c.frame.Context); err != nil {
				return err
			}
		}
	}
	return nil
}

// record is a record as the callback gets it.
func (c *Context) record(topic string, p placed) scope.Record {
	c.t.Helper()
	r := scope.Record{Topic: topic, Partition: c.task, Offset: c.calls[topic], Timestamp: time.Now().UnixMilli(), Key: p.Key, Value: p.Value}
	c.calls[topic]++
	if p.partition >= 0 {
		r.Partition = p.partition
	}
	if c.of > 0 && r.Partition != c.task {
		c.t.Fatalf("streamtest: Call: a record of partition %d, this is task %d", r.Partition, c.task)
	}
	if !p.Timestamp.IsZero() {
		r.Timestamp = p.Timestamp.UnixMilli()
	}
	for _, h := range p.Headers {
		r.Headers = append(r.Headers, scope.Header{Key: []byte(h.Key), Value: h.Value})
	}
	return r
}

// commit makes what a callback wrote part of the tables and, where told, of the topics.
func (c *Context) commit(topics bool) {
	tables, emitted := c.frame.Seal()
	for i, changes := range tables {
		for _, ch := range changes {
			c.tables.apply(i, ch)
			if topics {
				c.append(c.group.Tables[i].Name, c.task, scope.Emission{Key: ch.Key, Value: c.tables[i][ch.Key], Timestamp: ch.Timestamp})
			}
		}
	}
	for _, e := range emitted {
		c.append(c.group.Outputs[e.Output].Name, -1, e)
	}
}

func (c *Context) append(topic string, partition int32, e scope.Emission) {
	r := placed{partition: partition, Record: devbroker.Record{Offset: int64(len(c.topics[topic])), Key: []byte(e.Key), Value: e.Value,
		Timestamp: time.UnixMilli(e.Timestamp)}}
	for _, h := range e.Headers {
		r.Headers = append(r.Headers, devbroker.Header{Key: string(h.Key), Value: h.Value})
	}
	c.topics[topic] = append(c.topics[topic], r)
}

func (c *Context) input(topic string) *scope.Input {
	c.t.Helper()
	var names []string
	for i := range c.group.Inputs {
		if c.group.Inputs[i].Name == topic {
			return &c.group.Inputs[i]
		}
		names = append(names, c.group.Inputs[i].Name)
	}
	c.t.Fatalf("streamtest: group %s does not read %s; it reads %s", c.group.Name, topic, strings.Join(names, ", "))
	return nil
}

// table is the number of a table of the group.
func (c *Context) table(h topology.Handle) int {
	c.t.Helper()
	names := make([]string, 0, len(c.tables))
	for _, t := range c.group.Tables {
		names = append(names, t.Name)
	}
	for _, r := range c.group.Reads {
		names = append(names, r.Name)
	}
	at := slices.Index(names, h.Name())
	if at < 0 {
		c.t.Fatalf("streamtest: group %s has no table %s; it has: %s", c.group.Name, h.Name(), strings.Join(names, ", "))
	}
	return at
}

func (c *Context) tb() testing.TB { return c.t }

func (c *Context) rows(table topology.Handle) map[string][]byte {
	c.t.Helper()
	return c.tables[c.table(table)]
}

func (c *Context) written(h topology.Handle) []placed {
	c.t.Helper()
	known := false
	for _, o := range c.group.Outputs {
		known = known || o.Name == h.Name()
	}
	for _, t := range c.group.Tables {
		known = known || t.Name == h.Name()
	}
	if !known {
		c.t.Fatalf("streamtest: group %s does not write %s", c.group.Name, h.Name())
	}
	return c.topics[h.Name()]
}
