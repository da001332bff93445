package streamtest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/streamtest"
)

// broken makes a run of TestPlay_Victim fail.
const broken = "TARN_TEST_BROKEN"

// victim is a script over the obedient group; where told, it has an invariant that breaks.
func victim(k *streamtest.Kit) streamtest.Script {
	g := obedient(k.T)
	k.Topic("orders", 4)
	k.Start(g)
	if os.Getenv(broken) != "" {
		k.Invariant("no order", func() error {
			if n := len(streamtest.Records(k, orders)); n > 0 {
				return fmt.Errorf("there are orders")
			}
			return nil
		})
	}
	sends := streamtest.Sends(orders, 10, func(r *rand.Rand) streamtest.Record[string] {
		key := fmt.Sprint(r.IntN(10))
		return streamtest.KV(key, []string{"set ", "delete "}[r.IntN(2)]+key)
	})
	sends.Weight = 8
	return streamtest.Script{Steps: 25, CheckEvery: 3,
		Ops: append(streamtest.Faults(g, []string{"a", "b"}), sends, streamtest.Advances(10*time.Second))}
}

func TestPlay_Victim(t *testing.T) {
	streamtest.Play(t, victim, func(*testing.T) []devbroker.Option { return []devbroker.Option{devbroker.Brokers(2)} })
}

// playVictim runs TestPlay_Victim in a process of its own and gives what it prints.
func playVictim(t *testing.T, flags ...string) (out string, failed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"-test.run", "^TestPlay_Victim$", "-test.v"}, flags...)...)
	cmd.Env = append(os.Environ(), broken+"=1")
	text, err := cmd.CombinedOutput()
	return string(text), err != nil
}

var (
	seedLine = regexp.MustCompile(`streamtest: seed (\d+), at step (\d+) of the script\n((?: +\t?\d+: .*\n)+)`)
	runLine  = regexp.MustCompile(`--- FAIL: TestPlay_Victim/run_\d,_seed_(\d+)`)
)

// A failure prints seed, script and trace, and its seed gives the same script.
func TestPlay_PrintsWhatIsNeededToPlayAgain(t *testing.T) {
	first, failed := playVictim(t)
	require.True(t, failed, first)
	require.Contains(t, first, "streamtest: no order: there are orders")
	said := seedLine.FindStringSubmatch(first)
	require.NotNil(t, said, first)
	require.Regexp(t, `00:00:\d\d\.\d{3} step 1: `, first)
	require.Regexp(t, `a: generation 1: joined \[0 1 2 3\]`, first)

	again, failed := playVictim(t, "-seed", said[1], "-runs", "2")
	require.True(t, failed)
	require.Equal(t, [][]string{said, said}, seedLine.FindAllStringSubmatch(again, -1))

	other, _ := playVictim(t, "-runs", "3")
	seeds := map[string]bool{}
	for _, run := range runLine.FindAllStringSubmatch(other, -1) {
		seeds[run[1]] = true
	}
	require.Len(t, seeds, 3, other)
}
