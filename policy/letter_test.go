package policy_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/topology"
)

func header(name, value string) policy.Header {
	return policy.Header{Key: []byte(name), Value: []byte(value)}
}

func letter() policy.Letter {
	return policy.Letter{Topic: "orders", Partition: 3, Offset: 42, Timestamp: time.UnixMilli(1_700_000_000_123), Group: "billing", Attempts: 5,
		Kind: policy.KindPanic, Error: "panic: no", Stack: "goroutine 7", Headers: []policy.Header{header("a", "1"), {Key: []byte("null")}, header("a", "2")}}
}

func TestLetter_RoundTrip(t *testing.T) {
	for name, change := range map[string]func(*policy.Letter){
		"as it is":   func(*policy.Letter) {},
		"no stack":   func(l *policy.Letter) { l.Stack = "" },
		"no headers": func(l *policy.Letter) { l.Headers = nil },
		"no time":    func(l *policy.Letter) { l.Timestamp = time.Time{} },
		"far times":  func(l *policy.Letter) { l.Timestamp = time.UnixMilli(math.MinInt64 / 2) },
		"extremes":   func(l *policy.Letter) { l.Offset, l.Partition = math.MaxInt64, math.MaxInt32 },
		"of another": func(l *policy.Letter) { first := letter(); l.Headers = first.Encode() },
	} {
		t.Run(name, func(t *testing.T) {
			want := letter()
			change(&want)
			got, err := policy.DeadLetterOf(want.Encode())
			require.NoError(t, err)
			require.Equal(t, len(want.Headers), len(got.Headers))
			if len(want.Headers) == 0 {
				want.Headers = got.Headers
			}
			require.Equal(t, want, got)
		})
	}
}

func TestDeadLetterOf_NamesWhatIsWrong(t *testing.T) {
	_, err := policy.DeadLetterOf([]policy.Header{header("a", "1")})
	require.ErrorContains(t, err, "no header tarn.dead.topic")
	l := letter()
	for i, h := range l.Encode() {
		for _, name := range []string{"partition", "offset", "timestamp", "attempts"} {
			if string(h.Key) != "tarn.dead."+name {
				continue
			}
			for _, value := range []string{"", "x", "1 ", "99999999999999999999"} {
				headers := l.Encode()
				headers[i].Value = []byte(value)
				_, err := policy.DeadLetterOf(headers)
				require.ErrorContains(t, err, "header tarn.dead."+name)
			}
		}
	}
}

// What is told of an error is bounded, and a letter can be made smaller until its record is nearly all of it.
func TestLetter_IsBounded(t *testing.T) {
	l := letter()
	l.Error, l.Stack = strings.Repeat("ä", 1<<20), strings.Repeat("x", 1<<20)
	size := func() (n int) {
		for _, h := range l.Encode()[len(l.Headers):] {
			n += len(h.Key) + len(h.Value) + 10
		}
		return n
	}
	require.Less(t, size(), policy.LetterBytes)
	got, err := policy.DeadLetterOf(l.Encode())
	require.NoError(t, err)
	require.True(t, utf8.ValidString(got.Error))
	require.True(t, l.Shorten())
	require.Less(t, size(), 8<<10)
	require.True(t, l.Shorten())
	require.Less(t, size(), 1<<10)
	require.False(t, l.Shorten())
	got, err = policy.DeadLetterOf(l.Encode())
	require.NoError(t, err)
	require.Empty(t, got.Stack)
	require.True(t, strings.HasPrefix(got.Error, "ää"))
	require.Equal(t, letter().Headers, got.Headers)
}

func TestDeadLetter_Faults(t *testing.T) {
	define := func(p policy.ErrorPolicy) error {
		in := topology.NewStream("in", codec.String)
		_, err := topology.Define("g", topology.Input(in, func(*topology.Context, string) error { return nil }, policy.OnError(p)),
			topology.Output(topology.NewStream("out", codec.String)), topology.Persist(topology.NewTable("table", codec.String)),
			topology.Lookup(topology.NewReadTable("lookup", codec.String)))
		return err
	}
	require.NoError(t, define(policy.DeadLetter("dead", topology.Partitions(1), topology.Replication(1), topology.Config("retention.ms", "1000"))))
	err := define(policy.DeadLetter("a b", topology.Partitions(-1), topology.CRC32(), topology.Config("cleanup.policy", "compact")))
	for _, fault := range []string{"refuses", "-1 partitions", "not by a hash", "would replace each other"} {
		require.ErrorContains(t, err, fault)
	}
	for topic, what := range map[string]string{"in": "an input", "out": "an output", "table": "a table", "lookup": "a table"} {
		require.ErrorContains(t, define(policy.DeadLetter(topic)), "dead letters cannot go to "+topic+", which is "+what+" of the group")
		require.ErrorContains(t, define(policy.Retry(policy.Backoff{}, policy.DeadLetter(topic))), "dead letters cannot go to "+topic)
	}
}

// FuzzDeadLetterOf reads headers that anybody may have written: names and values, null where they are "-", by line.
func FuzzDeadLetterOf(f *testing.F) {
	l := letter()
	var lines [][]byte
	for _, h := range l.Encode() {
		lines = append(lines, h.Key, h.Value)
	}
	f.Add(bytes.Join(lines, []byte("\n")))
	f.Add([]byte("tarn.dead.topic\nx\ntarn.dead.topic\n-"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var headers []policy.Header
		lines := bytes.Split(data, []byte("\n"))
		for i := 0; i+1 < len(lines); i += 2 {
			h := policy.Header{Key: lines[i], Value: lines[i+1]}
			if string(h.Value) == "-" {
				h.Value = nil
			}
			headers = append(headers, h)
		}
		got, err := policy.DeadLetterOf(headers)
		if err != nil {
			return
		}
		again, err := policy.DeadLetterOf(got.Encode())
		require.NoError(t, err)
		got.Error, got.Stack, again.Error, again.Stack = "", "", "", "" // what is long is shortened
		require.Equal(t, got, again)
	})
}

// Own headers, whatever they are called, come back as they were.
func TestLetter_OwnHeadersOfAnyName(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	names := []string{"", "a", "tarn.dead.topic", "tarn.dead.offset", "tarn.dead.error"}
	for range 1000 {
		want := letter()
		want.Headers = nil
		for range r.IntN(6) {
			want.Headers = append(want.Headers, header(names[r.IntN(len(names))], names[r.IntN(len(names))]))
		}
		got, err := policy.DeadLetterOf(want.Encode())
		require.NoError(t, err)
		require.ElementsMatch(t, want.Headers, got.Headers)
		require.Equal(t, want.Offset, got.Offset)
	}
}
