package processor

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// counters are the totals of Stats; they live as long as the Processor.
type counters struct {
	records, bytesIn, nulls atomic.Int64
	// retries counts further attempts at records, skipped and deadLetters the records that were passed.
	retries, skipped, deadLetters atomic.Int64
	recordsOut, bytesOut          atomic.Int64
	restored, commits, flushes    atomic.Int64
	removed                       atomic.Int64 // stores
}

func (c *counters) stats() observe.Stats {
	return observe.Stats{Records: c.records.Load(), BytesIn: c.bytesIn.Load(), Nulls: c.nulls.Load(), Skipped: c.skipped.Load(),
		DeadLetters: c.deadLetters.Load(), Retries: c.retries.Load(), RecordsOut: c.recordsOut.Load(), BytesOut: c.bytesOut.Load(),
		Restored: c.restored.Load(), Commits: c.commits.Load(), Flushes: c.flushes.Load(),
		StoresRemoved: c.removed.Load(), Tasks: map[int32]observe.TaskStats{}}
}

// meter is what Stats tells of a task beside what its inputs and cells know.
//
// An atomic operation a record is what a count costs most, so the task's goroutine counts in plain fields of its own and
// publishes them between two steps and with each seal; the committer counts once a batch.
type meter struct {
	committed atomic.Int64 // when, in nanoseconds since 1970; 0 for never
	outputs   []written
	tables    []*tableMeter
	joins     atomic.Pointer[[]*follower]
	rows      atomic.Int64 // memory of those the overlays have read
	retrying  atomic.Bool  // a record waits for another attempt
}

// written counts what is in Kafka.
type written struct {
	topic          string
	records, bytes atomic.Int64
}

func newMeter(env *environment, partition int32) *meter {
	m := &meter{outputs: make([]written, len(env.group.Outputs)), tables: make([]*tableMeter, len(env.group.Tables))}
	for i, o := range env.group.Outputs {
		m.outputs[i].topic = o.Name
	}
	for i, t := range env.group.Tables {
		m.tables[i] = newTableMeter(observe.RoleKept, env.place(t.Name, partition))
	}
	return m
}

// joined notes the followers of the joined tables.
func (m *meter) joined(all []*follower) { m.joins.Store(&all) }

// wrote counts a batch that Kafka has.
func (m *meter) wrote(b *kafka.OutBatch, bytes int64) {
	to := m.written(b.Topic)
	to.records.Add(int64(b.Len()))
	to.bytes.Add(bytes)
}

func (m *meter) written(topic string) *written {
	for _, t := range m.tables {
		if t.topic == topic {
			return &t.written
		}
	}
	for i := range m.outputs {
		if m.outputs[i].topic == topic {
			return &m.outputs[i]
		}
	}
	return &written{} // of a topic that Stats does not list
}

// publish shows what the task's goroutine has counted. It comes once a step, which may be one record: what has not changed
// is only looked at.
func (t *task) publish() {
	var records, bytes int64
	for _, in := range t.inputs {
		records += show(&in.shown.records, in.records)
		bytes += show(&in.shown.bytes, in.bytes)
		show(&in.shown.position, in.position)
	}
	if records > 0 {
		t.env.count.records.Add(records)
		t.env.count.bytesIn.Add(bytes)
	}
	kept := 0
	for i, l := range t.frame.Layers() {
		size, rows := l.Bytes()
		kept += rows
		show(&t.meter.tables[i].openRows, int64(l.Dirty()))
		show(&t.meter.tables[i].openBytes, int64(size))
	}
	show(&t.meter.rows, int64(kept))
	if waits := t.failed.in != nil; waits != t.meter.retrying.Load() {
		t.meter.retrying.Store(waits)
	}
}

// show gives a figure a value and tells by how much that is more. Only the task's goroutine writes it.
func show(figure *atomic.Int64, value int64) (more int64) {
	more = value - figure.Load()
	if more != 0 {
		figure.Store(value)
	}
	return more
}

// stats may be called by anyone.
func (t *task) stats() observe.TaskStats {
	now := t.state.Load()
	s := observe.TaskStats{State: taskStates[now], LastCommit: timeOf(t.meter.committed.Load())}
	for _, m := range t.meter.tables {
		s.Tables = append(s.Tables, m.stats())
	}
	for i := range t.meter.outputs {
		o := &t.meter.outputs[i]
		s.Outputs = append(s.Outputs, observe.OutputStats{Topic: o.topic, Records: o.records.Load(), Bytes: o.bytes.Load()})
	}
	s.Tables = append(s.Tables, t.joinStats()...)
	if now < taskRunning {
		return s
	}
	for _, in := range t.inputs { // complete since the task runs, as joins are
		s.Inputs = append(s.Inputs, in.stats())
	}
	if now == taskRunning {
		s.Held = t.held()
	}
	return s
}

// joinStats is of the joined tables, also before they are followed: somebody may wait for them.
func (t *task) joinStats() (all []observe.TableStats) {
	if joins := t.meter.joins.Load(); joins != nil {
		for _, f := range *joins {
			all = append(all, f.stats())
		}
		return all
	}
	for i := range t.env.group.Reads {
		if read := &t.env.group.Reads[i]; !read.Lookup {
			all = append(all, newTableMeter(observe.RoleJoined, t.env.place(read.Name, t.partition)).stats())
		}
	}
	return all
}

// held tells why the running task handles no record.
func (t *task) held() string {
	if i := slices.IndexFunc(t.joins, (*follower).holds); i >= 0 {
		return "joined table " + t.joins[i].at.Topic + " is not current"
	}
	if t.meter.retrying.Load() {
		return "a record that failed waits for another attempt"
	}
	return ""
}

func (in *input) stats() observe.InputStats {
	s := observe.InputStats{Topic: in.topic, Position: in.shown.position.Load(), Committed: observe.Unknown, End: in.cursor.End(),
		Records: in.shown.records.Load(), Bytes: in.shown.bytes.Load()}
	if m := in.committed.Load(); m != nil {
		s.Committed = m.position
	}
	s.End, s.Lag = lagAt(s.Position, s.End)
	return s
}

// lagAt gives an end that is not below the position, as an older answer's may be, and the lag.
func lagAt(position, end int64) (int64, int64) {
	if end == state.UnknownOffset || position == state.UnknownOffset {
		return end, observe.Unknown
	}
	end = max(end, position)
	return end, end - position
}

func timeOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}

// tableMeter is what Stats tells of a table partition. It hears of a restore by observer, and looks at the store and, for a
// table of the group's own, at the cell.
type tableMeter struct {
	written
	role                string
	partition           int32
	openRows, openBytes atomic.Int64

	mu      sync.Mutex
	store   state.Store   // nil until it is open
	cell    *cell         // nil until it is restored, and of a table that is followed
	cursor  *kafka.Cursor // of a table that is followed
	restore observe.RestoreStats
	pace    pace
	out     state.Outcome // the newest
	base    state.Outcome // when the plan was made
	planned time.Time
	current bool // for the first time
}

func newTableMeter(role string, at observe.Place) *tableMeter {
	return &tableMeter{written: written{topic: at.Topic}, role: role, partition: at.Partition}
}

// watch is told what is read and where it goes.
func (m *tableMeter) watch(s state.Store, c *kafka.Cursor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store, m.cursor = s, c
}

// restored hands over to the cell that the group writes to.
func (m *tableMeter) restored(c *cell) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cell, m.cursor = c, nil
}

// observer listens to a restore. A follower's goes on after the end, and is a new one with each plan.
func (m *tableMeter) observer() state.Observer {
	return state.Observer{
		Planned: func(p state.Plan) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.base, m.planned = m.out, time.Now()
			m.pace.begin(m.planned, p.Position)
			m.restore = observe.RestoreStats{Decision: p.Decision.String(), Cause: p.Cause, From: p.Position, Position: p.Position, End: p.End}
		},
		Progress: func(out state.Outcome) { m.heard(out, false) },
		Ready:    func(out state.Outcome) { m.heard(out, true) },
	}
}

func (m *tableMeter) heard(out state.Outcome, done bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out, m.current = out, m.current || done
	if r := &m.restore; !r.Done {
		now := time.Now()
		r.Position, r.End, r.Done, r.Took = out.Position, out.End, done, now.Sub(m.planned)
		r.Records, r.Bytes = out.Records-m.base.Records, out.Bytes-m.base.Bytes
		r.Rate = perSecond(r.Position-r.From, r.Took)
		m.pace.moved(now, out.Position)
	}
}

// progress is how far the restore has come by now.
func (m *tableMeter) progress() observe.RestoreStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restoring()
}

// restoring is progress for who holds the mutex.
func (m *tableMeter) restoring() observe.RestoreStats {
	r := m.restore
	if now := time.Now(); !r.Done && r.Decision != "" {
		r.Took, r.Rate = now.Sub(m.planned), m.pace.rate(now)
	}
	return r
}

// state is that of a task which does nothing but follow the table.
func (m *tableMeter) state() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.store == nil:
		return observe.TaskWaiting
	case !m.current:
		return observe.TaskRestoring
	}
	return observe.TaskRunning
}

// applied counts the records that the restore and what followed it have applied.
func (m *tableMeter) applied() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.out.Records
}

func (m *tableMeter) stats() observe.TableStats {
	m.mu.Lock()
	s := observe.TableStats{Topic: m.topic, Partition: m.partition, Role: m.role, Restore: m.restoring(),
		Position: observe.Unknown, End: observe.Unknown, Lag: observe.Unknown, Flushed: observe.Unknown}
	store, c, cursor := m.store, m.cell, m.cursor
	shown := m.restore.Done && m.role != observe.RoleKept || c != nil
	if m.restore.Decision != "" {
		s.Position, s.End = m.restore.Position, m.restore.End
		if m.restore.Done {
			s.Position, s.End = m.out.Position, m.out.End
		}
	}
	m.mu.Unlock()
	if cursor != nil {
		s.End = max(s.End, cursor.End())
	}
	if store != nil {
		if check, ok := store.Checkpoint(); ok {
			s.Flushed = check.Position
		}
	}
	if c != nil {
		c.stats(&s)
	}
	if s.End, s.Lag = lagAt(s.Position, s.End); s.Lag == 0 && !shown {
		s.Lag = observe.Unknown
	}
	s.Open = observe.LayerStats{Rows: int(m.openRows.Load()), Bytes: m.openBytes.Load()}
	s.Records, s.Bytes = m.records.Load(), m.bytes.Load()
	return s
}
