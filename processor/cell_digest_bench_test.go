//go:build unix

package processor

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/benchtest"
	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// unmarked is a cell whose rows have no marks, so that no digest is kept.
type unmarked struct{ c *cell }

func (u unmarked) Get(_ int, key string) ([]byte, *scope.Mark, bool, error) {
	v, ok, err := u.c.read(key, true)
	return v, nil, ok, err
}
func (u unmarked) Range(int) scope.Rows { return u.c.rows() }

type marked struct{ unmarked }

func (m marked) Get(_ int, key string) ([]byte, *scope.Mark, bool, error) { return m.c.readMarked(key) }

// rhythm is how many records are a commit, and how many commits go to disk together.
type rhythm struct{ commit, flush int }

// countOn is what one table costs a stateful count, without Kafka.
func countOn(b *testing.B, keys [][]byte, each rhythm, backing func(unmarked) scope.Backing) digest.Sum {
	s, err := state.Open("/store", state.Options{FS: ldb.NewMemFS(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	defer func() { require.NoError(b, s.Close()) }()
	c := newCell("table", 0, s)
	o := scope.NewOverlay("table", 0, ints{}, backing(unmarked{c}))
	for i, key := range keys {
		n, _, err := o.Get(key)
		if err == nil {
			err = o.Set(key, n+1, 0)
		}
		if err != nil {
			b.Fatal(err)
		}
		if o.Accept(); i%each.commit != each.commit-1 {
			continue
		}
		changes := o.Seal()
		c.seal(changes)
		for j := range changes {
			changes[j].Offset = c.check.Position + int64(j)
		}
		c.promote(changes, nil, time.Time{})
		if n := each.flush * each.commit; i%n == n-1 {
			_, _, err := c.flush(b.Context(), 0)
			require.NoError(b, err)
		}
	}
	cp, _ := s.Checkpoint()
	return cp.Digest
}

// spent is the processor time of this process, that of collecting garbage and of compactions included.
func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCell_Count is one table of a stateful count, without Kafka, as at 500,000 records a second in four partitions: a commit
// each 100 ms, a flush each 2.5 s.
func BenchmarkCell_Count(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 0))
	keys := make([][]byte, 500_000)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key-%08d", r.IntN(25_000))
	}
	done, began := benchtest.Records(b), spent(b)
	for b.Loop() {
		countOn(b, keys, rhythm{12_500, 25}, func(u unmarked) scope.Backing { return marked{u} })
	}
	done(b.N * len(keys))
	b.ReportMetric(float64(spent(b)-began)/float64(b.N*len(keys)), "cpu-ns/record")
}

// BenchmarkDigest counts records with and without a digest by turns: "ratio" is the processor time with it as a multiple of that without.
// Kafka's part, the larger one of a count, is left out of both.
func BenchmarkDigest(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 0))
	keys := make([][]byte, 200_000)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key-%06d", r.IntN(25_000))
	}
	var with, without time.Duration
	for b.Loop() {
		began := spent(b)
		require.False(b, countOn(b, keys, rhythm{5000, 4}, func(u unmarked) scope.Backing { return u }).Known())
		half := spent(b)
		require.True(b, countOn(b, keys, rhythm{5000, 4}, func(u unmarked) scope.Backing { return marked{u} }).Known())
		without, with = without+half-began, with+spent(b)-half
	}
	b.ReportMetric(float64(with)/float64(without), "ratio")
	records := float64(b.N * len(keys))
	b.ReportMetric(float64(without)/records, "ns/record-without")
	b.ReportMetric(float64(with)/records, "ns/record-with")
	b.ReportMetric(0, "ns/op")
}
