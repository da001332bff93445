package main

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/ldb"
	tables "github.com/tarnstream/tarn/state"
)

// spoil changes rows of the first partition on disk behind everybody's back; "-" removes.
func (s *shop) spoil(keyValues ...string) {
	s.t.Helper()
	st, err := tables.Open(filepath.Join(s.view, "colours", "0"), tables.Options{})
	require.NoError(s.t, err)
	var b tables.Batch
	for i := 0; i < len(keyValues); i += 2 {
		row, _, err := st.Get([]byte(keyValues[i]))
		require.NoError(s.t, err)
		if keyValues[i+1] == "-" {
			b.Delete([]byte(keyValues[i]))
		} else {
			b.Put([]byte(keyValues[i]), []byte(keyValues[i+1]), row.Offset, row.Timestamp)
		}
	}
	require.NoError(s.t, st.Write(&b))
	require.NoError(s.t, st.Close())
}

func TestStateVerify(t *testing.T) {
	s := newShop(t)
	verify := func(code int) string {
		return columns(s.tell(code, "state", "verify", s.dir, "-brokers", s.brokers))
	}
	before := s.snapshot()
	require.Equal(t, columns(`view colours in DIR/views/colours
STORE      VERDICT  POSITION  ROWS  RECORDS  DIGEST  NOTE
colours/0  equal    3         2     3        matches
colours/1  equal    0         0     0        matches
`), verify(exitOK))

	s.put("sky", "red")
	require.Contains(t, verify(exitOK), "colours/0  equal  3  2  4  matches  1 rows have newer records and were not compared\n")
	require.Equal(t, before, s.snapshot(), "nothing was touched")

	s.run()
	s.spoil("sky", "green", "grass", "-", "ghost", "\xff\x00")
	before = s.snapshot()
	require.Equal(t, columns(`view colours in DIR/views/colours
STORE      VERDICT    POSITION  ROWS  RECORDS  DIGEST      NOTE
colours/0  different  4         2     4        not stored  3 keys differ
colours/1  equal      0         0     0        matches
colours/0 "ghost": the table has 0xff00 (offset 0), the topic has no row
colours/0 "grass": the table has no row, the topic has "green" (offset 1)
colours/0 "sky": the table has "green" (offset 3), the topic has "red" (offset 3)
tarn: 1 of 2 stores are not shown to equal their topics
`), verify(exitError))
	require.Equal(t, before, s.snapshot(), "nothing was touched")

	stop := s.start()
	require.Regexp(t, `^tarn: inspect: state: DIR/views/colours is in use by process PID on HOST\n$`, verify(exitError))
	stop()
	require.NoError(t, s.broker.DeleteTopic("colours"))
	require.Contains(t, verify(exitError), "colours/0  not compared  4  0  0  -  state: topic colours does not exist\n")
}

// A row that was changed on disk, checksums and all, while the topic cannot say anything of it: it may have had another record there.
func TestStateVerify_TheDigestTells(t *testing.T) {
	s := newShop(t)
	s.put("sky", "red")
	db, err := ldb.Open(ldb.OS(), filepath.Join(s.view, "colours", "0", "g00000001"), ldb.Config{Shared: ldb.NewShared(1<<20, 16, 1), WriteBufferBytes: 1 << 20})
	require.NoError(t, err)
	row, ok, err := db.Get([]byte("dsky"))
	require.NoError(t, err)
	require.True(t, ok)
	var b ldb.Batch
	b.Put([]byte("dsky"), append(bytes.TrimSuffix(row, []byte("blue")), "pink"...))
	require.NoError(t, db.Write(&b, true))
	require.NoError(t, db.Close())
	require.Regexp(t, columns(`view colours in DIR/views/colours
STORE      VERDICT  POSITION  ROWS  RECORDS  DIGEST   NOTE
colours/0  altered  3         2     4        differs  the rows are not those that were written: their digest is [0-9a-f]{16}, not a5c7f6a5a13b8055; 1 rows have newer records and were not compared
colours/1  equal    0         0     0        matches
tarn: 1 of 2 stores are not shown to equal their topics
`), columns(s.tell(exitError, "state", "verify", s.dir, "-brokers", s.brokers)))
}

func TestStateVerify_JSON(t *testing.T) {
	s := newShop(t)
	s.spoil("sky", "green", "grass", "\xff\x00")
	code, stdout, stderr := runFor(t, "state", "verify", s.view, "-brokers", s.brokers, "-json")
	require.Equal(t, exitError, code)
	require.Equal(t, "tarn: 1 of 2 stores are not shown to equal their topics\n", stderr)
	require.JSONEq(t, `[{"kind": "view", "name": "colours", "dir": "`+s.view+`", "stores": [
		{"table": "colours", "partition": 0, "verdict": "different", "position": 3, "rows": 2, "records": 3, "different": 2, "digest": "88aa519766778ed5", "differences": [
			{"table": {"key": "grass", "valueBase64": "/wA=", "offset": 1, "timestamp": "2026-01-01T00:00:00Z"},
			 "topic": {"key": "grass", "value": "green", "offset": 1, "timestamp": "2026-01-01T00:00:00Z"}},
			{"table": {"key": "sky", "value": "green", "offset": 2, "timestamp": "2026-01-01T00:00:00Z"},
			 "topic": {"key": "sky", "value": "blue", "offset": 2, "timestamp": "2026-01-01T00:00:00Z"}}]},
		{"table": "colours", "partition": 1, "verdict": "equal", "position": 0, "rows": 0, "records": 0, "different": 0, "digest": "0000000000000000", "storedDigest": "0000000000000000"}]}]`, stdout)
}

func TestStateExport(t *testing.T) {
	s := newShop(t)
	require.NoError(t, s.broker.Produce("colours", 1, devbroker.Record{Key: []byte("\xfe"), Value: []byte("<\xff>")}, devbroker.Record{Key: []byte(""), Value: []byte("")}))
	s.run()
	before := s.snapshot()
	code, stdout, stderr := runFor(t, "state", "export", s.dir)
	require.Equal(t, exitOK, code, stderr)
	lines := strings.SplitAfter(stdout, "\n")
	require.Len(t, lines, 5)
	require.Equal(t, `{"key":"grass","value":"green","offset":1,"timestamp":"2026-01-01T00:00:00Z"}
{"key":"sky","value":"blue","offset":2,"timestamp":"2026-01-01T00:00:00Z"}
`, lines[0]+lines[1])
	require.Contains(t, lines[2], `{"key":"","value":"","offset":1,`)
	require.Contains(t, lines[3], `{"keyBase64":"/g==","valueBase64":"PP8+","offset":0,`)
	require.Equal(t, before, s.snapshot(), "nothing was touched")

	_, stdout, _ = runFor(t, "state", "export", s.dir, "-partition", "0", "-table", "colours")
	require.Equal(t, lines[0]+lines[1], stdout)
	require.Contains(t, s.tell(exitError, "state", "export", s.dir, "-partition", "7"), "there is no such table or partition on disk")
	require.Contains(t, s.tell(exitError, "state", "export", s.dir, "-table", "shapes"), "there is no such table or partition on disk")
	require.Contains(t, s.tell(exitUsage, "state", "export", s.dir, "-values", "xml"), `values "xml" are none of text, json and int64`)
	stop := s.start()
	require.Contains(t, s.tell(exitError, "state", "export", s.dir), "is in use by process PID on HOST")
	stop()
}

func TestStateExport_Values(t *testing.T) {
	s := newShop(t)
	s.spoil("grass", `{"height": 7, "a": "<b>"}`, "sky", "-")
	require.Equal(t, `{"key":"grass","value":{"height":7,"a":"<b>"},"offset":1,"timestamp":"2026-01-01T00:00:00Z"}`+"\n",
		s.tell(exitOK, "state", "export", s.view, "-values", "json"))
	require.Equal(t, "tarn: colours/0: inspect: the value of key \"grass\" is no int64: "+
		"codec: int64: 25 bytes where 8 are expected\n", s.tell(exitError, "state", "export", s.view, "-values", "int64"))
	s.spoil("grass", string(binary.BigEndian.AppendUint64(nil, 1<<40)))
	require.Equal(t, `{"key":"grass","value":1099511627776,"offset":1,"timestamp":"2026-01-01T00:00:00Z"}`+"\n",
		s.tell(exitOK, "state", "export", s.view, "-values", "int64"))
	require.Contains(t, s.tell(exitError, "state", "verify", s.view, "-values", "int64", "-brokers", s.brokers),
		`colours/0 "grass": the table has 1099511627776 (offset 1), the topic has "green" (offset 1)`)
}
