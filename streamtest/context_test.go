package streamtest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

func TestContext_ShowsWhatACallbackWrote(t *testing.T) {
	c := streamtest.NewContext(t, obedient(t))
	streamtest.Set(c, counts, "me", 41)
	streamtest.Set(c, notes, "old", "x")
	at := time.UnixMilli(1_700_000_000_000)
	require.NoError(t, streamtest.Call(c, orders, streamtest.KV("me", "set a,delete old,emit k,date k,bury k").At(at).Header("trace", "7")))

	order := "set a,delete old,emit k,date k,bury k"
	require.Equal(t, map[string]int64{"me": 42}, streamtest.Rows(c, counts))
	require.Equal(t, map[string]string{"a": order}, streamtest.Rows(c, notes))
	require.Equal(t, []streamtest.Record[string]{{Key: "a", Value: order, Time: at}, {Key: "old", NullValue: true, Time: at, Offset: 1}},
		streamtest.Records(c, notes))
	require.Equal(t, []streamtest.Record[int64]{{Key: "me", Value: 42, Time: at}}, streamtest.Records(c, counts))
	require.Equal(t, []streamtest.Record[string]{
		{Key: "k", Value: order, Time: at, Partition: -1, Headers: []topology.Header{{Key: []byte("trace"), Value: []byte("7")}}},
		{Key: "k", Value: order, Time: time.UnixMilli(7), Partition: -1, Offset: 1},
		{Key: "k", NullValue: true, Time: at, Partition: -1, Offset: 2},
	}, streamtest.Records(c, out))
}

// A row that is set counts also where a callback has read the key before.
func TestContext_SetAfterACall(t *testing.T) {
	c := streamtest.NewContext(t, obedient(t))
	require.NoError(t, streamtest.Call(c, orders, streamtest.KV("me", "")))
	streamtest.Set(c, counts, "me", 10)
	require.NoError(t, streamtest.Call(c, orders, streamtest.KV("me", "")))
	require.Equal(t, map[string]int64{"me": 11}, streamtest.Rows(c, counts))
	require.Len(t, streamtest.Records(c, counts), 2, "what Set gives is no record")
}

func TestR61_ContextKeepsNothingOfAFailedCall(t *testing.T) {
	c := streamtest.NewContext(t, obedient(t))
	require.NoError(t, streamtest.Call(c, orders, streamtest.KV("me", "set a")))
	require.ErrorIs(t, streamtest.Call(c, orders, streamtest.KV("me", "set a,set b,emit k,fail")), errRefused)
	require.PanicsWithValue(t, errRefused, func() { _ = streamtest.Call(c, orders, streamtest.KV("me", "delete a,set b,emit k,panic")) })
	require.NoError(t, streamtest.Call(c, orders, streamtest.KV("me", "list k")))
	require.Equal(t, map[string]int64{"me": 2}, streamtest.Rows(c, counts))
	require.Equal(t, map[string]string{"a": "set a"}, streamtest.Rows(c, notes))
	require.Equal(t, "a=set a", streamtest.Records(c, out)[0].Value)
	require.Len(t, streamtest.Records(c, out), 1)
}

func TestR28_ContextTellsNullFromEmpty(t *testing.T) {
	var seen []string
	see := func(what string) func(ctx *topology.Context) error {
		return func(ctx *topology.Context) error {
			seen = append(seen, fmt.Sprintf("%s %t %q at %d", what, ctx.HasKey(), ctx.Key(), ctx.Offset()))
			_, _, err := counts.Get(ctx)
			return err
		}
	}
	g, err := topology.Define("g", topology.Persist(counts), topology.Input(orders,
		func(ctx *topology.Context, v string) error { return see("value " + v)(ctx) }, topology.OnDelete(see("null"))))
	require.NoError(t, err)
	c := streamtest.NewContext(t, g)
	require.NoError(t, streamtest.Call(c, orders, streamtest.KV("", "")))
	require.NoError(t, streamtest.Call(c, orders, streamtest.Tombstone[string]("k")))
	require.ErrorIs(t, streamtest.Call(c, orders, streamtest.Record[string]{NullKey: true, Value: "v"}), topology.ErrNullKey)
	require.Equal(t, []string{`value  true "" at 0`, `null true "k" at 1`, `value v false "" at 2`}, seen)

	c = streamtest.NewContext(t, obedient(t)) // without OnDelete
	require.NoError(t, streamtest.Call(c, orders, streamtest.Tombstone[string]("k")))
	require.Empty(t, streamtest.Rows(c, counts))
}

func TestContext_AsTask(t *testing.T) {
	own, far := keysOf(3, 4)
	c := streamtest.NewContext(t, obedient(t), streamtest.AsTask(3, 4))
	require.NoError(t, streamtest.Call(c, orders, streamtest.KV(own, "set "+own)))
	var other *topology.PartitionError
	require.ErrorAs(t, streamtest.Call(c, orders, streamtest.KV(own, "set "+far)), &other)
	require.Equal(t, topology.PartitionError{Table: "notes", Key: far, Partition: scope.Murmur2.Partition([]byte(far), 4), Task: 3}, *other)
	require.EqualValues(t, 3, streamtest.Records(c, notes)[0].Partition)
	require.Contains(t, failure(t, func(tb testing.TB) {
		streamtest.Set(streamtest.NewContext(tb, obedient(tb), streamtest.AsTask(3, 4)), notes, far, "")
	}), "this is task 3")
	require.Contains(t, failure(t, func(tb testing.TB) {
		_ = streamtest.Call(streamtest.NewContext(tb, obedient(tb), streamtest.AsTask(3, 4)), orders, streamtest.KV(own, "").In(1))
	}), "a record of partition 1, this is task 3")
	for _, bad := range [][2]int{{4, 4}, {-1, 4}, {0, 0}} {
		require.Contains(t, failure(t, func(tb testing.TB) {
			streamtest.NewContext(tb, obedient(tb), streamtest.AsTask(bad[0], bad[1]))
		}), "numbered from 0")
	}
}

// keysOf gives a key of partition p of n and one of another.
func keysOf(p, n int32) (own, far string) {
	for i := 0; own == "" || far == ""; i++ {
		if key := fmt.Sprint(i); scope.Murmur2.Partition([]byte(key), n) == p {
			own = key
		} else {
			far = key
		}
	}
	return own, far
}

func TestContext_RefusesWhatAProcessorRefuses(t *testing.T) {
	small := topology.NewTable("small", codec.Bytes, topology.Config("max.message.bytes", "1000"))
	numbers := topology.NewStream("numbers", codec.Int64)
	g, err := topology.Define("g", topology.Persist(small), topology.Input(numbers, func(ctx *topology.Context, n int64) error {
		if n < 0 {
			return notes.Set(ctx, "not declared")
		}
		return small.Set(ctx, make([]byte, n))
	}))
	require.NoError(t, err)
	c := streamtest.NewContext(t, g)
	require.NoError(t, streamtest.Call(c, numbers, streamtest.KV[int64]("k", 500)))
	require.ErrorAs(t, streamtest.Call(c, numbers, streamtest.KV[int64]("k", 2000)), new(*topology.TooLargeError))
	require.ErrorAs(t, streamtest.Call(c, numbers, streamtest.KV[int64]("k", -1)), new(*topology.UndeclaredError))
	require.ErrorAs(t, c.Call("numbers", "k", "not eight bytes"), new(*topology.DecodeError))
	require.ErrorAs(t, streamtest.Call(c, numbers, streamtest.KV[int64]("k", 1).At(time.UnixMilli(-5))), new(*topology.TimestampError))
	require.Len(t, streamtest.Rows(c, small)["k"], 500)
}

func TestContext_NamesWhatTheGroupLacks(t *testing.T) {
	other := topology.NewTable("other", codec.String)
	for want, use := range map[string]func(*streamtest.Context){
		"group obedient does not read out; it reads orders":        func(c *streamtest.Context) { _ = streamtest.Call(c, out, streamtest.KV("k", "v")) },
		"group obedient has no table other; it has: notes, counts": func(c *streamtest.Context) { streamtest.Set(c, other, "k", "v") },
		"streamtest: group obedient has no table other":            func(c *streamtest.Context) { streamtest.Rows(c, other) },
		"group obedient does not write orders":                     func(c *streamtest.Context) { streamtest.Records(c, orders) },
		`table notes, key "k": topology: record for notes`: func(c *streamtest.Context) {
			streamtest.Set(c, notes, "k", strings.Repeat("v", 2<<20))
		},
	} {
		require.Contains(t, failure(t, func(tb testing.TB) { use(streamtest.NewContext(tb, obedient(tb))) }), want)
	}
}

func TestContext_TablesThatAreOnlyRead(t *testing.T) {
	own, far := keysOf(3, 4)
	joined, looked := topology.NewReadTable("joined", codec.String), topology.NewReadTable("looked", codec.String)
	g, err := topology.Define("g", topology.Join(joined), topology.Lookup(looked), topology.Output(out), topology.Persist(counts),
		topology.Input(orders, func(ctx *topology.Context, key string) error {
			mine, _, err := joined.Get(ctx)
			other, ok, err2 := looked.GetKey(ctx, key)
			for row, e := range looked.Range(ctx) {
				other += " " + row.Key
				err = errors.Join(err, e)
			}
			return errors.Join(err, err2, out.Emit(ctx, "k", fmt.Sprint(mine, " ", other, ok)))
		}))
	require.NoError(t, err)
	c := streamtest.NewContext(t, g, streamtest.AsTask(3, 4))
	streamtest.Set(c, joined, own, "mine")
	streamtest.Set(c, looked, far, "far")
	require.NoError(t, streamtest.Call(c, orders, streamtest.KV(own, far)))
	require.NoError(t, streamtest.Call(c, orders, streamtest.KV("other", "none")))
	require.Equal(t, "mine far "+far+"true", streamtest.Records(c, out)[0].Value)
	require.Equal(t, "  "+far+"false", streamtest.Records(c, out)[1].Value)
	require.Equal(t, map[string]string{far: "far"}, streamtest.Rows(c, looked))
	require.Contains(t, failure(t, func(tb testing.TB) {
		streamtest.Set(streamtest.NewContext(tb, g, streamtest.AsTask(3, 4)), joined, far, "")
	}), "this is task 3")
}

// A loop's records are there to be called.
func TestContext_Loop(t *testing.T) {
	again := topology.NewStream("again", codec.String)
	g, err := topology.Define("g", topology.Persist(notes),
		topology.Input(orders, func(ctx *topology.Context, v string) error { return again.Emit(ctx, v, "again") }),
		topology.Loop(again, func(ctx *topology.Context, v string) error { return notes.Set(ctx, v) }))
	require.NoError(t, err)
	c := streamtest.NewContext(t, g)
	require.NoError(t, streamtest.Call(c, orders, streamtest.KV("a", "b")))
	require.NoError(t, streamtest.Call(c, again, streamtest.Records(c, again)[0]))
	require.Equal(t, map[string]string{"b": "again"}, streamtest.Rows(c, notes))
}

func TestContext_Visit(t *testing.T) {
	visited := 0
	g, err := topology.Define("g", topology.Persist(counts), topology.Persist(notes), topology.Output(out), topology.Input(orders, obey),
		topology.Visit("expire", counts, func(ctx *topology.Context, key string, n int64) error {
			if visited++; key == "d" {
				return errors.Join(errRefused, counts.Delete(ctx))
			}
			return errors.Join(counts.Delete(ctx), counts.DeleteKey(ctx, "b"), counts.SetKey(ctx, "e", n), notes.Set(ctx, ctx.Topic()))
		}))
	require.NoError(t, err)
	c := streamtest.NewContext(t, g)
	for i, key := range []string{"c", "b", "a"} {
		streamtest.Set(c, counts, key, int64(i))
	}
	n, err := c.Visit("expire")
	require.NoError(t, err)
	require.EqualValues(t, 2, n, "b was removed before its turn, e is new")
	require.Equal(t, map[string]int64{"e": 0}, streamtest.Rows(c, counts))
	require.Equal(t, map[string]string{"a": "counts", "c": "counts"}, streamtest.Rows(c, notes))
	require.True(t, streamtest.Records(c, counts)[0].NullValue)
	streamtest.Set(c, counts, "d", 1)
	n, err = c.Visit("expire")
	require.ErrorIs(t, err, errRefused)
	require.Zero(t, n)
	require.Contains(t, streamtest.Rows(c, counts), "d", "nothing stays of a row that failed")
	require.Contains(t, failure(t, func(tb testing.TB) { _, _ = streamtest.NewContext(tb, g).Visit("other") }), `group g has no visit "other"`)
}

func TestContext_Effects(t *testing.T) {
	var done []string
	mails := topology.NewEffect("mails", func(_ context.Context, batch []string) error {
		done = append(done, batch...)
		return errRefused
	})
	g, err := topology.Define("g", topology.BeforeCommit(mails), topology.Input(orders, func(ctx *topology.Context, v string) error {
		if err := mails.Add(ctx, v); err != nil || v == "fail" {
			return errors.Join(err, errRefused)
		}
		return nil
	}))
	require.NoError(t, err)
	c := streamtest.NewContext(t, g)
	for _, v := range []string{"a", "fail", "b"} {
		_ = streamtest.Call(c, orders, streamtest.KV("k", v))
	}
	require.Equal(t, []string{"a", "b"}, streamtest.Added(c, mails))
	require.Empty(t, done)
	require.ErrorIs(t, c.Commit(), errRefused)
	require.Equal(t, []string{"a", "b"}, done)
	require.Empty(t, streamtest.Added(c, mails))
	require.NoError(t, c.Commit(), "there is nothing to be done")
	require.Contains(t, failure(t, func(tb testing.TB) { streamtest.Added(streamtest.NewContext(tb, obedient(tb)), mails) }), "has no effect mails")
}

// The same records through a Context and through a processor of one partition come to the same.
func TestContext_AgreesWithAProcessor(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var script []string
	for range 200 {
		var words []string
		for range r.IntN(5) {
			verb := []string{"set", "set", "delete", "emit", "date", "bury", "list"}[r.IntN(7)]
			words = append(words, fmt.Sprintf("%s k%d", verb, r.IntN(8)))
		}
		script = append(script, strings.Join(words, ","))
	}
	at := time.UnixMilli(1_700_000_000_000)
	record := func(i int, order string) streamtest.Record[string] {
		return streamtest.KV(fmt.Sprint(i%3), order).At(at.Add(time.Duration(i)*time.Second)).Header("n", fmt.Sprint(i))
	}
	c := streamtest.NewContext(t, obedient(t))
	for i, order := range script {
		require.NoError(t, streamtest.Call(c, orders, record(i, order)))
	}
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := obedient(k.T)
		k.Topic("orders", 1)
		k.Start(g)
		for i, order := range script {
			streamtest.Send(k, orders, record(i, order))
		}
		k.Settle(g)
		require.Equal(k.T, streamtest.Rows(c, notes), streamtest.Rows(k, notes))
		require.Equal(k.T, streamtest.Rows(c, counts), streamtest.Rows(k, counts))
		emitted := slices.Clone(streamtest.Records(c, out))
		for i := range emitted {
			emitted[i].Partition = 0 // the topic has one
		}
		require.Equal(k.T, emitted, streamtest.Records(k, out))
	})
}

// A group may be in two Contexts, and a Context kept by a callback is of no use afterwards.
func TestContext_EndsWithItsCall(t *testing.T) {
	var kept *topology.Context
	g, err := topology.Define("g", topology.Persist(counts), topology.Input(orders, func(ctx *topology.Context, _ string) error {
		kept = ctx
		return counts.Set(ctx, 1)
	}))
	require.NoError(t, err)
	a, b := streamtest.NewContext(t, g), streamtest.NewContext(t, g)
	require.NoError(t, streamtest.Call(a, orders, streamtest.KV("k", "")))
	require.ErrorIs(t, counts.Set(kept, 2), topology.ErrNotInCallback)
	require.Empty(t, streamtest.Rows(b, counts))
}

func BenchmarkContext_Call(b *testing.B) {
	g := obedient(b)
	c := streamtest.NewContext(b, g)
	b.ReportAllocs()
	for b.Loop() {
		if err := streamtest.Call(c, orders, streamtest.KV("me", "set a,emit k")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewContext(b *testing.B) {
	g := obedient(b)
	for b.Loop() {
		streamtest.NewContext(b, g)
	}
}
