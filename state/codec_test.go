package state

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/digest"
)

func sampleCheckpoint() Checkpoint {
	return Checkpoint{TopicID: TopicID{1, 2, 3}, ClusterID: "cluster", Partition: 7, Position: 1 << 40, LastApplied: 1<<40 - 9,
		LastAppliedEpoch: 12, KnownCurrent: time.UnixMilli(1_700_000_000_123), LogStart: 33, DeleteRetention: 24 * time.Hour,
		Inputs: map[string]int64{"b": 5, "a": 1 << 33, "": 0}, InputTopics: map[string]TopicID{"a": {7}, "": {15: 1}}, Flush: 99, Digest: digest.FromBits(1 << 63)}
}

func TestCheckpointComesBack(t *testing.T) {
	for _, c := range []Checkpoint{{}, sampleCheckpoint(),
		{Position: 3, LastApplied: UnknownOffset, LastAppliedEpoch: UnknownEpoch, LogStart: UnknownOffset, DeleteRetention: -1}} {
		data, err := c.AppendBinary([]byte("before"))
		require.NoError(t, err)
		var got Checkpoint
		require.NoError(t, got.UnmarshalBinary(data[len("before"):]))
		require.Equal(t, c, got)
	}
}

func TestR32_DamagedCheckpointIsRefused(t *testing.T) {
	data, err := sampleCheckpoint().AppendBinary(nil)
	require.NoError(t, err)
	var c Checkpoint
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		require.Error(t, c.UnmarshalBinary(bad), "byte %d", i)
		require.Error(t, c.UnmarshalBinary(data[:i]), "cut at %d", i)
	}
	require.Error(t, c.UnmarshalBinary(append(data, 0)))
	require.Equal(t, Checkpoint{}, c, "left as it was")
}

func FuzzCheckpoint(f *testing.F) {
	data, _ := sampleCheckpoint().AppendBinary(nil)
	f.Add(data)
	f.Add([]byte{2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Checkpoint
		if err := c.UnmarshalBinary(data); err == nil {
			again, _ := c.AppendBinary(nil)
			var back Checkpoint
			require.NoError(t, back.UnmarshalBinary(again))
			require.Equal(t, c, back)
		}
		d := decoder{buf: data} // past the checksum too
		c.decode(&d, checkpointVersion)
		d = decoder{buf: data}
		c.decode(&d, undigested)
	})
}

func FuzzRow(f *testing.F) {
	f.Add(appendRow(nil, Row{Value: []byte("v"), Offset: 1 << 40, Timestamp: -3}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRow(data)
		if err != nil {
			return
		}
		again, err := decodeRow(appendRow(nil, r))
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

func FuzzCurrent(f *testing.F) {
	f.Add(encodeCurrent("g00000001"))
	f.Add(encodeCurrent(noGeneration))
	f.Fuzz(func(t *testing.T, data []byte) {
		if name, err := decodeCurrent(data); err == nil {
			require.Equal(t, data, encodeCurrent(name))
		}
	})
}
