package streamtest_test

import (
	"errors"
	"hash/crc32"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// The examples of a Kit need a *testing.T.
func TestExamples(t *testing.T) {
	t.Run("Run", testPayments)
	t.Run("Crash", testTakeover)
	t.Run("Play", testVisitsUnderFaults)
}

// failing runs a script that has to fail in its last step, and gives the failure's text.
func failing(t *testing.T, script func(k *streamtest.Kit)) (text string) {
	t.Helper()
	streamtest.Run(t, func(k *streamtest.Kit) {
		text = failure(k.T, func(tb testing.TB) {
			k.FailTo(tb)
			script(k)
		})
		k.FailTo(k.T)
	})
	return text
}

// started runs the obedient group on a topic of n partitions.
func started(k *streamtest.Kit, n int) (*topology.Group, *streamtest.Instance) {
	g := obedient(k.T)
	k.Topic("orders", n)
	return g, k.Start(g)
}

func TestExpect_TakesTheRecordsOfOneKeyInOrder(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		_, _ = started(k, 3)
		for _, order := range []string{"emit a", "emit b,emit a", "emit c"} {
			streamtest.Send(k, orders, streamtest.KV("me", order).At(time.UnixMilli(5)))
		}
		streamtest.Expect(k, out, streamtest.KV("c", "emit c"))
		got := streamtest.Expect(k, out, streamtest.KV("a", "emit a"), streamtest.KV("a", "emit b,emit a"),
			streamtest.KV("b", "emit b,emit a").At(time.UnixMilli(5)))
		require.Equal(k.T, scope.Murmur2.Partition([]byte("b"), 3), got[2].Partition)
		streamtest.Expect(k, out)
		streamtest.Send(k, orders, streamtest.KV("me", "bury a").Header("h", "v"))
		streamtest.Expect(k, out, streamtest.Tombstone[string]("a"))
		streamtest.Expect(k, counts, streamtest.KV[int64]("me", 3), streamtest.KV[int64]("me", 4))
	})
}

func TestExpect_SaysWhatCameInstead(t *testing.T) {
	for name, c := range map[string]struct {
		send string
		want []streamtest.Record[string]
		text string
	}{
		"another value": {"emit a", []streamtest.Record[string]{streamtest.KV("a", "emit b")},
			"streamtest: out: expected\n\t\"a\"=\"emit b\"\nbut this came:\n\t\"a\"=\"emit a\" [h: \"v\"]\n\tinstance a of group obedient: records 1"},
		"another key":       {"emit a", []streamtest.Record[string]{streamtest.KV("b", "emit a")}, "\"b\"=\"emit a\"\nbut this is all that came:\n\t\"a\"=\"emit a\" [h: \"v\"], partition 0, offset 0"},
		"too few":           {"emit a", []streamtest.Record[string]{streamtest.KV("a", "emit a"), streamtest.KV("a", "emit a")}, "but nothing came"},
		"too many":          {"emit a", nil, "nothing more was expected, but there is\n\t\"a\"=\"emit a\""},
		"a tombstone":       {"bury a", []streamtest.Record[string]{streamtest.KV("a", "")}, "but this came:\n\t\"a\"=tombstone"},
		"no tombstone":      {"emit a", []streamtest.Record[string]{streamtest.Tombstone[string]("a")}, "\"a\"=tombstone\nbut this came"},
		"another header":    {"emit a", []streamtest.Record[string]{streamtest.KV("a", "emit a").Header("h", "w")}, `[h: "w"]`},
		"another timestamp": {"emit a", []streamtest.Record[string]{streamtest.KV("a", "emit a").At(time.UnixMilli(6))}, "1970"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, failing(t, func(k *streamtest.Kit) {
				started(k, 1)
				streamtest.Send(k, orders, streamtest.KV("me", c.send).Header("h", "v").At(time.UnixMilli(5)))
				streamtest.Expect(k, out, c.want...)
			}), c.text)
		})
	}
}

// What an instance serves is compared with the topic, keys that are gone included.
func TestRows_ComparesInstancesWithTheTopic(t *testing.T) {
	require.Contains(t, failing(t, func(k *streamtest.Kit) {
		g, _ := started(k, 2)
		streamtest.Send(k, orders, streamtest.KV("me", "set a,set b").In(0))
		k.Settle(g)
		require.Len(k.T, streamtest.Rows(k, notes), 2)
		streamtest.Send(k, notes, streamtest.KV("a", "of another writer").In(0))
		streamtest.Send(k, notes, streamtest.Tombstone[string]("b").In(0))
		streamtest.Rows(k, notes)
	}), "streamtest: table notes is not the fold of its topic:\n"+
		"\tkey \"a\": instance a answers set a,set b, the topic says of another writer\n"+
		"\tkey \"b\": instance a answers set a,set b, the topic says that there is none\n"+
		"\tinstance a of group obedient: records 1")
}

// Rows waits for a partition that moves, and needs no instance at all.
func TestRows_WhileTasksMoveAndAfterwards(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g, a := started(k, 4)
		b := k.StartAs("b", g)
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			streamtest.Send(k, orders, streamtest.KV(key, "").At(time.Now()))
		}
		k.Settle(g)
		a.Crash()
		require.Len(k.T, streamtest.Rows(k, counts), 5)
		require.NoError(k.T, b.Stop())
		require.Len(k.T, streamtest.Rows(k, counts), 5)
	})
}

func TestSend_ByTheHandlesHashOrTheGivenPartition(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		crc := topology.NewStream("crc", out.Codec(), topology.CRC32())
		k.Topic("crc", 8)
		k.Topic("orders", 8)
		streamtest.Send(k, crc, streamtest.KV("key", "v"))
		streamtest.Send(k, orders, streamtest.Record[string]{NullKey: true, Value: "v"}.In(6).At(time.UnixMilli(9)))
		k.Send("orders", "key", "raw")
		require.EqualValues(k.T, crc32.ChecksumIEEE([]byte("key"))%8, streamtest.Records(k, crc)[0].Partition)
		got := streamtest.Records(k, orders)
		require.EqualValues(k.T, scope.Murmur2.Partition([]byte("key"), 8), got[0].Partition)
		require.Equal(k.T, `"key"="raw"`, got[0].String())
		require.EqualValues(k.T, 6, got[1].Partition)
		require.Equal(k.T, `null key="v"`, got[1].String())
		require.Equal(k.T, time.UnixMilli(9), got[1].Time)
	})
}

func TestSettle_SaysWhyNot(t *testing.T) {
	began := time.Now()
	text := failing(t, func(k *streamtest.Kit) {
		g, _ := started(k, 1)
		streamtest.Send(k, orders, streamtest.KV("me", "fail"))
		k.Settle(g)
	})
	require.Contains(t, text, "group obedient does not settle: of its inputs 1 offsets are not committed\n\tinstance a of group obedient: ended, error: ")
	require.Contains(t, text, errRefused.Error())
	require.Less(t, time.Since(began), time.Minute, "an instance that has ended is not waited for")
}

func TestUntil_NamesWhatDoesNotCome(t *testing.T) {
	require.Equal(t, "streamtest: after 1h0m0s of virtual time: not blue\n\tno instance was started", failing(t, func(k *streamtest.Kit) {
		k.Until("blue", func() bool { return false })
	}))
}

func TestStart_ThatFailsFailsTheTest(t *testing.T) {
	require.Contains(t, failing(t, func(k *streamtest.Kit) { k.Start(obedient(k.T)) }), "streamtest: instance a did not start: processor: group obedient: topics")
	require.Contains(t, failing(t, func(k *streamtest.Kit) { k.StartAs("b", obedient(k.T), processor.MemoryBytes(-1)) }), "streamtest: instance b: processor: memory of -1 bytes")
	require.Contains(t, failing(t, func(k *streamtest.Kit) { k.Topic("t", 1, "cleanup.policy") }), "config cleanup.policy has no value")
	require.Contains(t, failing(t, func(k *streamtest.Kit) { k.Send("nowhere", "k", "v") }), "nowhere")
	require.Contains(t, failing(t, func(k *streamtest.Kit) {
		k.Topic("counts", 1)
		k.Send("counts", "k", "not eight bytes")
		streamtest.Records(k, counts)
	}), `streamtest: counts: the value of key "k" cannot be decoded`)
	require.Contains(t, failing(t, func(k *streamtest.Kit) {
		_, a := started(k, 1)
		_ = a.Wait()
	}), "instance a still runs after 1h0m0s of virtual time\n\tinstance a of group obedient: records 0")
}

// A run that ends badly fails the test, unless the script has looked at its error.
func TestRun_EndsWithItsInstances(t *testing.T) {
	var r *recorder
	streamtest.Run(t, func(k *streamtest.Kit) {
		r = &recorder{TB: k.T}
		k.FailTo(r)
		_, _ = started(k, 1)
		streamtest.Send(k, orders, streamtest.KV("me", "fail"))
		k.Advance(time.Minute)
	})
	require.Contains(t, r.text, "streamtest: instance a: processor: group obedient: record orders/0@0")
	streamtest.Run(t, func(k *streamtest.Kit) {
		_, a := started(k, 1)
		streamtest.Send(k, orders, streamtest.KV("me", "fail"))
		require.ErrorIs(k.T, a.Wait(), errRefused)
	})
}

// A crash keeps what was on disk and nothing that came after it: the next instance of the name reads the rest.
func TestCrash_KeepsTheDiskAsItWas(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := obedient(k.T)
		k.Topic("orders", 1)
		a := k.Start(g, processor.FlushInterval(time.Second))
		streamtest.Send(k, orders, streamtest.KV("me", "set a"))
		k.Advance(2 * time.Second) // flushed
		streamtest.Send(k, orders, streamtest.KV("me", "set b"))
		k.Settle(g) // committed only
		held := k.Broker.Hold(devbroker.Produce, "notes")
		streamtest.Send(k, orders, streamtest.KV("me", "set c"))
		<-held.Arrived() // neither
		a.Crash()
		held.Drop()
		require.NotErrorIs(k.T, a.Stop(), errRefused)
		require.Equal(k.T, map[string]string{"a": "set a", "b": "set b"}, streamtest.Rows(k, notes))
		a = k.Start(g)
		require.EqualValues(k.T, 2, a.Processor.Stats().Restored, "one record of each table was not on disk")
		k.Settle(g)
		require.Len(k.T, streamtest.Rows(k, notes), 3)
		require.Equal(k.T, map[string]int64{"me": 3}, streamtest.Rows(k, counts))
	})
}

func TestDisconnect_IsALineThatComesBack(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g, a := started(k, 1)
		a.Disconnect()
		k.Until("lost", func() bool { return a.Running() == 0 })
		streamtest.Send(k, orders, streamtest.KV("me", "emit k"))
		streamtest.Expect(k, out)
		a.Connect()
		streamtest.Expect(k, out, streamtest.KV("k", "emit k"))
		k.Settle(g)
		require.NoError(k.T, errors.Join(a.Stop(), a.StopFailing()))
	})
}
