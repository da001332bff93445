package kafka

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

// The files of testdata/format are kept for ever: what a released program has written into Kafka must go on to be read, by
// members of the group that were not updated yet, and from offsets that were committed before. A version that is new gets
// files of its own, beside those; -golden writes them, hex without remarks. docs/format.md has the newest.

var addGolden = flag.Bool("golden", false, "write the files of testdata/format of this program's versions, where they are missing")

// golden gives a file's text, which the page of formats has, too.
func golden(t *testing.T, file, written string) string {
	t.Helper()
	path := filepath.Join("testdata", "format", file)
	if _, err := os.Stat(path); *addGolden && os.IsNotExist(err) {
		require.NoError(t, os.WriteFile(path, []byte(written+"\n"), 0o644))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "format.md"))
	require.NoError(t, err)
	require.True(t, strings.Contains(string(page), string(text)), "docs/format.md has not what %s has", file)
	return strings.TrimSuffix(string(text), "\n")
}

// goldenHex gives the bytes of a file whose lines begin with hex.
func goldenHex(t *testing.T, file string, written []byte) (all []byte) {
	t.Helper()
	for line := range strings.Lines(golden(t, file, hex.EncodeToString(written))) {
		b, err := hex.DecodeString(strings.Fields(line)[0])
		require.NoError(t, err)
		all = append(all, b...)
	}
	return all
}

func TestGoldenOffsetMetadata(t *testing.T) {
	id := state.TopicID{0xff, 15: 1}
	text := golden(t, "offset-metadata.v1.txt", encodeMetadata(id))
	require.Equal(t, id, decodeMetadata(text), "read")
	require.Equal(t, text, encodeMetadata(id), "written: what is new needs a new version, and a file of its own")
}

func TestGoldenMember(t *testing.T) {
	s := subscription{fingerprint: "input clicks by murmur2, table clicks-count by murmur2", round: 3, stored: taskSet{0, 200}}
	data := goldenHex(t, "member.v1.txt", s.encode())
	got, err := decodeSubscription(data)
	require.NoError(t, err)
	require.Equal(t, s, got, "read")
	require.Equal(t, data, s.encode(), "written: what is new needs a new version, and a file of its own")
}

func TestGoldenAssignment(t *testing.T) {
	a := assignment{tasks: taskSet{0, 2}, idle: true, incomplete: true}
	w := &memberWire{cfg: &MembershipConfig{Topics: []string{"clicks"}}}
	out := w.encode(a)
	data := goldenHex(t, "assignment.v1.txt", out.UserData)
	require.Equal(t, data, out.UserData, "written: what is new needs a new version, and a file of its own")

	out.UserData = data
	require.Equal(t, a, assigned(t, out), "read")
	for flags, want := range map[byte]assignment{0: {}, flagIdle: {idle: true}, flagIncomplete: {incomplete: true}} {
		out.UserData = []byte{userDataV1, flags}
		want.tasks = a.tasks
		require.Equal(t, want, assigned(t, out))
	}
}

// assigned is what a member makes of an assignment.
func assigned(t *testing.T, out *sarama.ConsumerGroupMemberAssignment) assignment {
	t.Helper()
	req := &sarama.SyncGroupRequest{}
	require.NoError(t, req.AddGroupAssignmentMember("m", out))
	a, err := decodeAssignment(&sarama.SyncGroupResponse{MemberAssignment: req.GroupAssignments[0].Assignment})
	require.NoError(t, err)
	return a
}
