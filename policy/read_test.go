package policy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStaleness_Admit(t *testing.T) {
	well, old := policy.Staleness{Age: time.Second}, policy.Staleness{Age: time.Hour}
	never, rebuilt := policy.Staleness{Age: -1, Cause: "no checkpoint"}, policy.Staleness{Age: time.Second, Cause: "the topic was made again"}
	var told policy.Staleness
	for _, c := range []struct {
		name  string
		s     policy.Staleness
		reads []policy.Read
		ok    bool
	}{
		{"current", well, nil, true},
		{"old but nothing against it", old, nil, true},
		{"rebuilt", rebuilt, nil, false},
		{"rebuilt, allowed", rebuilt, []policy.Read{policy.AllowStale(nil)}, true},
		{"never current, allowed", never, []policy.Read{policy.AllowStale(&told)}, true},
		{"within the age", well, []policy.Read{policy.MaxAge(time.Second)}, true},
		{"past the age", old, []policy.Read{policy.MaxAge(time.Minute)}, false},
		{"the age bounds what is allowed", old, []policy.Read{policy.AllowStale(nil), policy.MaxAge(time.Minute)}, false},
		{"and the other way round", rebuilt, []policy.Read{policy.MaxAge(time.Minute), policy.AllowStale(&told)}, true},
		{"an age that is not known is none", never, []policy.Read{policy.AllowStale(nil), policy.MaxAge(time.Minute)}, false},
	} {
		told = policy.Staleness{}
		require.Equal(t, c.ok, c.s.Admit(c.reads...), c.name)
		if told != (policy.Staleness{}) {
			require.Equal(t, c.s, told, c.name)
		}
	}
}

func TestStaleError(t *testing.T) {
	cause := errors.New("not ready")
	err := error(&policy.StaleError{Table: "counts", Partition: 2, Staleness: policy.Staleness{Cause: "being read", Age: -1}, Err: cause})
	require.EqualError(t, err, "policy: counts/2 is stale: being read; it was not current yet")
	require.ErrorIs(t, err, cause)
	err = &policy.StaleError{Table: "counts", Staleness: policy.Staleness{Age: 90*time.Second + 1}}
	require.EqualError(t, err, "policy: counts/0 is stale: it was last current 1m30s ago")
}
