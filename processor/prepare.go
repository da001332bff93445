package processor

import (
	"context"
	"fmt"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// prepare brings the tables current and sets the inputs to where the group stands. starting ends also when the task
// shall stop; life is what callbacks see.
func (t *task) prepare(life, starting context.Context) error {
	committed, err := t.committed(starting)
	if err != nil {
		return err
	}
	if err := t.restore(starting); err != nil {
		return err
	}
	if err := t.env.lookups.current(starting); err != nil {
		return err
	}
	if err := t.openInputs(starting, committed); err != nil {
		return err
	}
	t.frame = scope.NewFrame(life, t.env.group, t)
	t.frame.SetTask(t.partition, t.env.taskCount)
	t.letters = t.env.newLetterBox(t.partition)
	t.reads = t.readBackings()
	t.frame.SetReads(t.reads)
	for i, l := range t.frame.Layers() {
		l.SetLimits(t.env.limits[t.env.group.Tables[i].Name])
		l.SetCache(t.env.budget.rowLimit)
	}
	t.env.budget.tasks.Add(1)
	for i, o := range t.env.group.Outputs {
		t.frame.SetOutputLimits(i, t.env.limits[o.Name])
	}
	return nil
}

// restore opens each table's store, the joined ones' too, and reads its topic to the end.
func (t *task) restore(ctx context.Context) error {
	for i, table := range t.env.group.Tables {
		if err := t.restoreTable(ctx, i); err != nil {
			return fmt.Errorf("processor: group %s: restore %s/%d: %w", t.env.group.Name, table.Name, t.partition, err)
		}
	}
	return t.join(ctx)
}

// join follows the joined tables and waits until they are current.
func (t *task) join(ctx context.Context) error {
	for i := range t.env.group.Reads {
		if t.env.group.Reads[i].Lookup {
			continue
		}
		f := newFollower(t.env, i, t.partition, t.nudge)
		t.joins = append(t.joins, f)
		f.start(t.env.tasks.workers)
	}
	t.meter.joined(t.joins)
	for _, f := range t.joins {
		if err := f.current(ctx); err != nil {
			return err
		}
	}
	return nil
}

// readBackings gives what stands behind the tables that are only read, in the group's order.
func (t *task) readBackings() []scope.ReadBacking {
	var out []scope.ReadBacking
	joins := t.joins
	for i := range t.env.group.Reads {
		if read := &t.env.group.Reads[i]; read.Lookup {
			out = append(out, t.env.lookups.of(read))
		} else {
			out, joins = append(out, joins[0]), joins[1:]
		}
	}
	return out
}

func (t *task) restoreTable(ctx context.Context, i int) error {
	table, kept, m := t.env.group.Tables[i].Name, &t.kept[i], t.meter.tables[i]
	at := t.env.place(table, t.partition)
	log := t.log.With("table", table)
	o := t.env.conf.restoreOptions(at, m)
	o.Observer = kept.observer().Tee(o.Observer)
	slot := newSlot(t.env)
	o = t.env.budget.restoring(o, slot.release)
	defer slot.end()
	if err := slot.take(ctx); err != nil {
		return err
	}
	store, err := t.env.budget.open(t.env.dir.StoreDir(table, t.partition), state.Options{Logger: log, Observer: o.Observer, FS: t.env.conf.fs})
	if err != nil {
		return err
	}
	c := newCell(table, t.partition, store)
	c.transactional = t.env.commit.fence != nil
	c.account, c.epochAt = t.account, t.env.epochOf(table, t.partition)
	t.cells = append(t.cells, c)
	cursor := t.env.reader.Open(table, t.partition, nil)
	defer cursor.Close()
	m.watch(store, cursor)
	kept.opened(newPart(at, store, t.env.conf.observe.StaleRead))
	slot.Log = cursor
	out, err := state.Restore(ctx, store, slot, o)
	if err != nil {
		return err
	}
	t.env.count.restored.Add(out.Records)
	c.check, _ = store.Checkpoint()
	c.asked = t.env.now()
	kept.restored(c)
	m.restored(c)
	return nil
}

// committed asks where the group stands, when nobody else can write for this task any more. The tables' ends are asked for
// after that: what they have of transactions is then no less than what the offsets say, and no more.
func (t *task) committed(ctx context.Context) (offsets, error) {
	if fence := t.env.commit.fence; fence != nil {
		if err := fence.pass(ctx); err != nil {
			return nil, err
		}
	}
	want := map[string][]int32{}
	for _, in := range t.env.group.Inputs {
		want[in.Name] = []int32{t.partition}
	}
	committed, err := t.env.client.CommittedOffsets(ctx, t.env.group.Name, want)
	if err != nil {
		return nil, fmt.Errorf("processor: group %s: committed offsets: %w", t.env.group.Name, err)
	}
	return committed, nil
}

// openInputs opens a cursor for each input and sets it to where the group stands.
func (t *task) openInputs(ctx context.Context, committed offsets) error {
	for _, in := range t.env.group.Inputs {
		i := &input{topic: in.Name, loop: in.Loop, call: in.Call, onDelete: in.OnDelete, onError: t.env.conf.onError(&in),
			cursor: t.env.reader.Open(in.Name, t.partition, t.wake)}
		i.begin, i.lost = t.env.conf.placing(&in)
		i.check = t.env.newHashCheck(&in.Topic, t.partition, t.env.taskCount)
		t.inputs = append(t.inputs, i)
	}
	if err := t.place(ctx, committed); err != nil {
		return err
	}
	for _, in := range t.inputs {
		in.sealed = in.position
	}
	return nil
}
