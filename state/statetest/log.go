package statetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

// LogWriter changes the log that TestLog reads. Its calls return when the change shows to readers.
type LogWriter interface {
	// Append adds a committed record, nil for null, and gives its offset.
	Append(key, value []byte) int64
	// DeleteRecords raises the log start.
	DeleteRecords(before int64)
}

// TestLog is the suite every Log must pass. open gives a Log of an empty, compacted topic's partition and what writes to it.
func TestLog(t *testing.T, open func(t *testing.T) (state.Log, LogWriter)) {
	for name, test := range map[string]func(*testing.T, state.Log, LogWriter){
		"EmptyLog":        testEmptyLog,
		"EverythingOnce":  testEverythingOnce,
		"Seek":            testSeek,
		"R01_BelowStart":  testBelowStart,
		"R03_BeyondEnd":   testBeyondEnd,
		"R28_NullsDiffer": testNulls,
		"Bounds":          testBounds,
	} {
		t.Run(name, func(t *testing.T) {
			l, w := open(t)
			test(t, l, w)
		})
	}
}

// ReadAll reads from position until next, as a restore does, and requires every answer to keep the Log's promises.
func ReadAll(t testing.TB, l state.Log, position, next int64) (records []state.Record) {
	t.Helper()
	for range 1000 {
		if position >= next {
			return records
		}
		rs, err := l.Fetch(t.Context(), position)
		require.NoError(t, err)
		require.Equal(t, position, rs.Position)
		require.GreaterOrEqual(t, rs.Next, rs.Position)
		require.LessOrEqual(t, rs.Present, rs.Next-rs.Position)
		require.GreaterOrEqual(t, rs.Present, int64(len(rs.Records)))
		at := rs.Position
		for _, r := range rs.Records {
			require.GreaterOrEqual(t, r.Offset, at, "ascending and within the stretch")
			require.Less(t, r.Offset, rs.Next)
			at = r.Offset + 1
			records = append(records, state.Record{Key: append([]byte{}, r.Key...), Value: append([]byte{}, r.Value...), Offset: r.Offset})
		}
		position = rs.Next
	}
	t.Fatalf("no progress at %d of %d", position, next)
	return nil
}

func testEmptyLog(t *testing.T, l state.Log, _ LogWriter) {
	b, err := l.Bounds(t.Context())
	require.NoError(t, err)
	require.Equal(t, b.Start, b.End)
	rs, err := l.Fetch(t.Context(), b.Start)
	require.NoError(t, err)
	require.Equal(t, rs.Position, rs.Next, "nothing is there yet")
	require.Empty(t, rs.Records)
}

func testEverythingOnce(t *testing.T, l state.Log, w LogWriter) {
	var last int64
	for i := range 50 {
		last = w.Append([]byte{byte(i)}, []byte("value"))
	}
	records := ReadAll(t, l, 0, last+1)
	require.Len(t, records, 50)
	for i, r := range records {
		require.Equal(t, []byte{byte(i)}, r.Key)
	}
}

func testSeek(t *testing.T, l state.Log, w LogWriter) {
	var offsets []int64
	for i := range 20 {
		offsets = append(offsets, w.Append([]byte{byte(i)}, []byte("value")))
	}
	for _, i := range []int{10, 3, 19, 0} {
		records := ReadAll(t, l, offsets[i], offsets[19]+1)
		require.Len(t, records, 20-i)
		require.Equal(t, offsets[i], records[0].Offset)
	}
}

func testBelowStart(t *testing.T, l state.Log, w LogWriter) {
	var last int64
	for range 10 {
		last = w.Append([]byte("k"), []byte("v"))
	}
	w.DeleteRecords(last - 2)
	_, err := l.Fetch(t.Context(), 0)
	var out *state.OutOfRangeError
	require.ErrorAs(t, err, &out)
	require.Zero(t, out.Position)
	b, err := l.Bounds(t.Context())
	require.NoError(t, err)
	require.Equal(t, last-2, b.Start)
	require.Len(t, ReadAll(t, l, b.Start, b.End), 3, "it goes on at the new start")
}

func testBeyondEnd(t *testing.T, l state.Log, w LogWriter) {
	last := w.Append([]byte("k"), []byte("v"))
	_, err := l.Fetch(t.Context(), last+100)
	var out *state.OutOfRangeError
	require.ErrorAs(t, err, &out)
	require.Equal(t, last+100, out.Position)
	require.Len(t, ReadAll(t, l, 0, last+1), 1)
}

func testNulls(t *testing.T, l state.Log, w LogWriter) {
	w.Append([]byte("k"), nil)
	last := w.Append([]byte{}, []byte{})
	var got []state.Record
	for position := int64(0); position <= last; {
		rs, err := l.Fetch(t.Context(), position)
		require.NoError(t, err)
		got = append(got, rs.Records...)
		position = rs.Next
	}
	require.Len(t, got, 2)
	require.Nil(t, got[0].Value, "a null is nil")
	require.NotNil(t, got[1].Key, "an empty key is none")
	require.NotNil(t, got[1].Value, "an empty value is a value")
}

func testBounds(t *testing.T, l state.Log, w LogWriter) {
	last := w.Append([]byte("k"), []byte("v"))
	b, err := l.Bounds(t.Context())
	require.NoError(t, err)
	require.Equal(t, last+1, b.End, "never from a cache")
	last = w.Append([]byte("k"), []byte("v"))
	b, err = l.Bounds(t.Context())
	require.NoError(t, err)
	require.Equal(t, last+1, b.End)
	require.Equal(t, b.End, b.Stable)
	require.NotEqual(t, state.TopicID{}, b.TopicID)
	require.True(t, b.Compacted)
	require.Positive(t, b.DeleteRetention)
}
