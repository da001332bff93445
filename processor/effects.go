package processor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// EffectError says that an effect (topology.BeforeCommit) failed. The records that it was for are not committed, nor is
// what they wrote; after a restart they are handled again, and the effect with them. Cause is what the effect's func
// returned, or a *PanicError.
type EffectError struct {
	Group  string
	Task   int32 // the partition
	Effect string
	// Records are the offsets of the task that are not committed, from the first to before the second, by input topic.
	Records map[string][2]int64
	Cause   error
}

func (e *EffectError) Error() string {
	var spans []string
	for _, topic := range slices.Sorted(maps.Keys(e.Records)) {
		spans = append(spans, fmt.Sprintf("%s/%d [%d, %d)", topic, e.Task, e.Records[topic][0], e.Records[topic][1]))
	}
	what := "what a visit wrote is"
	if len(spans) > 0 {
		what = "records " + strings.Join(spans, ", ") + " are"
	}
	return fmt.Sprintf("processor: group %s: task %d: effect %s: %s not committed: %v", e.Group, e.Task, e.Effect, what, e.Cause)
}

// Unwrap gives the cause.
func (e *EffectError) Unwrap() error { return e.Cause }

// effects does the group's effects for the open layer, which is sealed only then.
//
// It is done by the task's own goroutine. The naive way does it in the committer, where one slow database would hold up
// the commits of all tasks, or beside the task, where the effects of one layer could overtake those of the one before.
// Here a task in an effect is what a task in a callback is: left out of a commit, waited for up to the deadline of a stop,
// and of no account once its lease is lost.
func (t *task) effects() error {
	for i, b := range t.frame.Effects() {
		if err := t.over(); err != nil {
			return err
		}
		do := b.Take()
		if do == nil {
			continue
		}
		if err := protect(func() error { return do(t.frame.Context) }); err != nil {
			return &EffectError{Group: t.env.group.Name, Task: t.partition, Effect: t.env.group.Effects[i].Name, Records: t.unsealed(), Cause: err}
		}
	}
	return nil
}

// unsealed are the offsets of each input that were handled since the last seal.
func (t *task) unsealed() map[string][2]int64 {
	spans := map[string][2]int64{}
	for _, in := range t.inputs {
		if in.sealed < in.position {
			spans[in.topic] = [2]int64{in.sealed, in.position}
		}
	}
	return spans
}
