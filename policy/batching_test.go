package policy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/policy"
)

func TestBatching_DefaultsAndFaults(t *testing.T) {
	b, err := policy.Batching{}.WithDefaults()
	require.NoError(t, err)
	require.Equal(t, policy.Batching{Linger: 5 * time.Millisecond, Bytes: 512 << 10, Buffer: 8 << 20, Delivery: 2 * time.Minute}, b)
	b, err = policy.Batching{Linger: -1, Bytes: 1, Buffer: 2, Delivery: time.Second}.WithDefaults()
	require.NoError(t, err)
	require.Equal(t, policy.Batching{Bytes: 1, Buffer: 2, Delivery: time.Second}, b)
	_, err = policy.Batching{Bytes: -1, Buffer: -2, Delivery: -time.Second}.WithDefaults()
	for _, part := range []string{"-1 bytes to gather", "a buffer of -2 bytes", "delivery within -1s"} {
		require.ErrorContains(t, err, part)
	}
	_, err = policy.Batching{Buffer: 1000}.WithDefaults()
	require.ErrorContains(t, err, "524288 bytes to gather are more than the buffer of 1000")
}

func TestEmitError(t *testing.T) {
	cause := errors.New("no leader")
	err := error(&policy.EmitError{Topic: "clicks", Partition: 3, Records: 7, Cause: cause})
	require.EqualError(t, err, "policy: 7 records for clicks/3 were given up: no leader")
	require.ErrorIs(t, err, cause)
	err = &policy.EmitError{Topic: "clicks", Records: 1, Unknown: true, Cause: cause}
	require.EqualError(t, err, "policy: 1 records for clicks/0 were given up: no leader (they may be there nevertheless)")
}
