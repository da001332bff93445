package kafka

import (
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
)

func TestSubscriptionRoundTrip(t *testing.T) {
	for _, s := range []subscription{
		{},
		{fingerprint: "v1", round: 3, stored: taskSet{0, 1, 200, 1 << 20}},
		{fingerprint: strings.Repeat("f", 300)},
	} {
		got, err := decodeSubscription(s.encode())
		require.NoError(t, err)
		require.Equal(t, s.fingerprint, got.fingerprint)
		require.Equal(t, s.round, got.round)
		require.Equal(t, len(s.stored), len(got.stored))
		for _, n := range s.stored {
			require.True(t, got.stored.has(n))
		}
	}
}

// TestSubscriptionOfALaterVersion has more fields at its end, which a member of this version does not mind.
func TestSubscriptionOfALaterVersion(t *testing.T) {
	b := append(subscription{fingerprint: "v1", stored: taskSet{2}}.encode(), 1, 2, 3)
	b[0] = 9
	s, err := decodeSubscription(b)
	require.NoError(t, err)
	require.Equal(t, "v1", s.fingerprint)
	require.Equal(t, taskSet{2}, s.stored)
}

// FuzzSubscription: any bytes give a value or errUserData, and what is read is written alike.
func FuzzSubscription(f *testing.F) {
	f.Add(subscription{fingerprint: "v1", round: 3, stored: taskSet{0, 5}}.encode())
	f.Add([]byte{1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSubscription(b)
		if err != nil {
			require.ErrorIs(t, err, errUserData)
			return
		}
		again, err := decodeSubscription(s.encode())
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

// FuzzPeer: whatever another member sends as its metadata, the leader gets a peer and can plan.
func FuzzPeer(f *testing.F) {
	w := &memberWire{cfg: &MembershipConfig{Topics: []string{"in"}, Fingerprint: "v1"}}
	req := &sarama.JoinGroupRequest{}
	require.NoError(f, req.AddGroupProtocolMetadata(protocolName, &sarama.ConsumerGroupMemberMetadata{Version: 1, Topics: w.cfg.Topics,
		UserData:        subscription{fingerprint: "v1", stored: taskSet{0}}.encode(),
		OwnedPartitions: []*sarama.OwnedPartition{{Topic: "in", Partitions: []int32{0, 2}}}}))
	good := req.OrderedGroupProtocols[0].Metadata
	require.Equal(f, peer{ID: "m", Owned: taskSet{0, 2}, Stored: taskSet{0}, Fits: true}, w.peer(sarama.GroupMember{MemberId: "m", Metadata: good}))
	f.Add(good)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := w.peer(sarama.GroupMember{MemberId: "m", Metadata: b})
		given, _ := planTasks([]peer{{ID: "leader", Fits: true}, p}, 4)
		require.Len(t, given, 2)
	})
}

// FuzzAssignment: any bytes of a leader give an assignment or an error.
func FuzzAssignment(f *testing.F) {
	w := &memberWire{cfg: &MembershipConfig{Topics: []string{"in", "too"}}}
	req := &sarama.SyncGroupRequest{}
	require.NoError(f, req.AddGroupAssignmentMember("m", w.encode(assignment{tasks: taskSet{1, 3}, idle: true, incomplete: true})))
	good := req.GroupAssignments[0].Assignment
	a, err := decodeAssignment(&sarama.SyncGroupResponse{MemberAssignment: good})
	require.NoError(f, err)
	require.Equal(f, assignment{tasks: taskSet{1, 3}, idle: true, incomplete: true}, a)
	f.Add(good)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAssignment(&sarama.SyncGroupResponse{MemberAssignment: b})
		if err != nil {
			require.Empty(t, a.tasks)
		}
	})
}

// TestRefusalsSayWhatToDo: an error of the configuration names what the user can change.
func TestRefusalsSayWhatToDo(t *testing.T) {
	w := &memberWire{cfg: &MembershipConfig{Group: "clicker"}}
	for _, c := range []sarama.KError{sarama.ErrInconsistentGroupProtocol, sarama.ErrInvalidSessionTimeout} {
		e, ok := w.code(c, "JoinGroup").(*Error)
		require.True(t, ok)
		require.NotEmpty(t, e.Detail)
		require.False(t, e.Retriable())
	}
	require.NoError(t, w.code(sarama.ErrNoError, "JoinGroup"))
}
