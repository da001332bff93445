package observe_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

var at = observe.Place{Group: "clicker", Topic: "counts", Partition: 3}

// logged gives the lines that tell writes, without their times.
func logged(tell func(observe.Observer)) []string {
	var out bytes.Buffer
	o := observe.Log(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
	tell(o)
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

// Every event is a line, at the level that an operator's filter wants.
func TestLog_EveryEventIsALine(t *testing.T) {
	no := errors.New("no")
	lines := logged(func(o observe.Observer) {
		o.RestorePlanned(observe.Restore{Place: at, Plan: state.Plan{Decision: state.Resume, Cause: "young", Position: 5, End: 9}})
		o.RestoreDone(observe.Restore{Place: at, Plan: state.Plan{Decision: state.Resume},
			Outcome:  state.Outcome{Position: 9, Records: 40, Took: time.Hour, Unproven: true, NullKeys: 2},
			Progress: observe.RestoreStats{Records: 4, Took: time.Second}})
		o.Reset(observe.Reset{Place: at, Cause: no})
		o.Reset(observe.Reset{Place: at, Cause: no, From: 3, To: 8})
		o.Swept(observe.Swept{Place: at, Rows: 7})
		o.Quarantined(observe.Quarantined{Place: at, Path: "/q", Cause: no})
		o.StoreRemoved(observe.StoreRemoved{Place: at, KnownCurrent: time.Unix(0, 0).UTC()})
		o.Commit(observe.Commit{Group: "clicker", Tasks: []int32{1, 2}, Records: 3, Bytes: 40, Took: time.Millisecond})
		o.Commit(observe.Commit{Group: "clicker", Err: no})
		o.Flush(observe.Flush{Place: at, Rows: 3, Bytes: 40, Took: time.Millisecond})
		o.Flush(observe.Flush{Place: at, Err: no})
		o.RecordError(observe.RecordError{Place: at, Offset: 8, Key: []byte("k"), Cause: no, Kind: "panic", Action: "fail", Attempt: 1})
		o.RecordError(observe.RecordError{Place: at, Cause: no, Kind: "decode", Action: "retry", Attempt: 2})
		o.HashMismatch(observe.HashMismatch{Place: at, Offset: 8, Key: []byte("k"), Belongs: 1, Hash: "murmur2"})
		o.ForeignRecords(observe.ForeignRecords{Place: at, Rewritten: 2, Records: []observe.ForeignRecord{{Key: []byte("k"), Offset: 8, Producer: 70},
			{Key: []byte("k"), Offset: 9, Producer: 70}, {Offset: 11, Producer: -1}, {Key: []byte("l"), Offset: 12, Producer: 70}}})
		o.StaleRead(observe.StaleRead{Place: at, Cause: "made again"})
	})
	const place = "group=clicker topic=counts partition=3 "
	require.Equal(t, []string{
		`level=INFO msg="restore planned" ` + place + `decision=resume cause=young position=5 end=9 left=4`,
		`level=INFO msg="table is current" ` + place + `decision=resume position=9 applied=4 took=1s`,
		`level=WARN msg="tombstones unproven: the rebuild took longer than delete.retention.ms and met holes; a deleted key may be served" ` + strings.TrimSpace(place),
		`level=WARN msg="records with a null key skipped in the table's topic" ` + place + `records=2`,
		`level=WARN msg="the log is not what was read before" ` + place + `error=no`,
		`level=ERROR msg="the log is not what was read before" ` + place + `error=no from=3 to=8`,
		`level=INFO msg="rows below the log start removed" ` + place + `rows=7`,
		`level=WARN msg="store quarantined, it will be rebuilt" ` + place + `path=/q cause=no`,
		`level=INFO msg="store of a partition that moved away removed" ` + place + `knownCurrent=1970-01-01T00:00:00.000Z`,
		`level=DEBUG msg=commit group=clicker tasks="[1 2]" records=3 bytes=40 took=1ms`,
		`level=WARN msg="commit failed or its outcome is unknown" group=clicker tasks=[] records=0 bytes=0 took=0s cause=no`,
		`level=DEBUG msg=flush ` + place + `rows=3 bytes=40 took=1ms`,
		`level=WARN msg="flush failed; what is on disk is right, only older" ` + place + `rows=0 bytes=0 took=0s cause=no`,
		`level=ERROR msg="record cannot be handled" ` + place + `offset=8 key="\"k\"" action=fail attempt=1 kind=panic cause=no`,
		`level=WARN msg="record cannot be handled" ` + place + `offset=0 key="\"\"" action=retry attempt=2 kind=decode cause=no`,
		`level=WARN msg="a producer hashes keys otherwise: rows of one key may be kept by several tasks, or not be found" ` + place + `offset=8 key="\"k\"" belongs=1 hash=murmur2`,
		`level=WARN msg="another writer's records in the table's topic: the owner's rows are written again" ` + place +
			`records=4 first=8 last=12 keys="[\"k\" \"\" \"l\"]" producers="[70 -1]" rewritten=2`,
		`level=WARN msg="reads are answered from before" ` + place + `cause="made again"`,
	}, lines)
}

func TestLog_Rebalance(t *testing.T) {
	no := errors.New("no")
	for kind, want := range map[string]string{
		observe.Joined: `INFO msg="group member joined"`, observe.Assigned: `INFO msg="group member assigned"`,
		observe.Revoked: `INFO msg="group member revoked"`, observe.Rebalancing: `INFO msg="group member rebalancing"`,
		observe.Retry: `INFO msg="group member retry"`, observe.Left: `INFO msg="group member left"`,
		observe.Lost: `WARN msg="group member lost"`, observe.Idle: `WARN msg="group member idle"`,
		observe.Restarted: `WARN msg="task starts again from its checkpoint"`} {
		lines := logged(func(o observe.Observer) {
			o.Rebalance(observe.Rebalance{Group: "g", Member: "m", Generation: 4, Kind: kind, Tasks: []int32{1, 2}})
		})
		require.Equal(t, []string{"level=" + want + ` group=g member=m generation=4 tasks="[1 2]"`}, lines)
	}
	require.Equal(t, []string{`level=WARN msg="group member left" group=g member="" generation=0 cause=no`},
		logged(func(o observe.Observer) { o.Rebalance(observe.Rebalance{Group: "g", Kind: observe.Left, Cause: no}) }))
}

// A long restore is a line every five seconds; answers of a follower are none.
func TestLog_RestoreProgressIsSeldom(t *testing.T) {
	after := func(seconds, position int64, rate float64) observe.Restore {
		return observe.Restore{Place: at, Progress: observe.RestoreStats{Position: position, End: 10_000, Rate: rate,
			Took: time.Duration(seconds) * time.Second}}
	}
	lines := logged(func(o observe.Observer) {
		o.RestorePlanned(observe.Restore{Place: at, Plan: state.Plan{Decision: state.Rebuild, End: 10_000}})
		for i := range int64(12) { // an answer a second, 100 offsets each
			o.RestoreProgress(after(i, 100*i, 100))
		}
		for i := range int64(9) { // it gets stuck
			o.RestoreProgress(after(12+i, 1100, 0))
		}
		o.RestoreDone(after(3700, 10_000, 3))
		o.RestoreProgress(after(9000, 10_000, 3))
	})
	const line = `level=INFO msg="restore goes on" group=clicker topic=counts partition=3 `
	require.Equal(t, []string{
		line + `position=500 end=10000 left=9500 rate="100 offsets/s" remaining=1m35s`,
		line + `position=1000 end=10000 left=9000 rate="100 offsets/s" remaining=1m30s`,
		line + `position=1100 end=10000 left=8900 rate="0 offsets/s"`,
		line + `position=1100 end=10000 left=8900 rate="0 offsets/s"`,
	}, lines[1:5])
	require.Len(t, lines, 6)
}

// An input whose records all fail is a line a second, which says how many others there were; what ends the run is always a line.
func TestLog_FailedRecordsAreALineASecond(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		lines := logged(func(o observe.Observer) {
			skip := observe.RecordError{Place: at, Cause: errors.New("no"), Action: "skip"}
			for range 25 { // in five seconds
				o.RecordError(skip)
				time.Sleep(200 * time.Millisecond)
			}
			skip.Partition++
			o.RecordError(skip)
			skip.Action = "fail"
			o.RecordError(skip)
		})
		require.Len(t, lines, 5+2)
		require.NotContains(t, lines[0], "others")
		for _, line := range lines[1:5] {
			require.Contains(t, line, `"others since"=4`)
		}
	})
}
