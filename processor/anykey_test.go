package processor_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// notes is the table that these tests write by any key.
var notes = topology.NewTable("notes", codec.Bytes)

// noter runs fn for each click.
func noter(t *testing.T, fn func(*topology.Context, string) error, options ...policy.InputOption) *topology.Group {
	return define(t, "noter", topology.Input(clicks, fn, options...), topology.Persist(notes))
}

// ranged gives the table as the callback sees it, and that its keys come in order.
func ranged(ctx *topology.Context) (map[string]string, error) {
	rows, last := map[string]string{}, ""
	for row, err := range notes.Range(ctx) {
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 && row.Key <= last {
			return nil, fmt.Errorf("%q after %q", row.Key, last)
		}
		rows[row.Key], last = string(row.Value), row.Key
	}
	return rows, nil
}

// Keys that look like rows of tarn's own, binary, large and empty ones, with values large and empty.
func TestR48_R28_AnyKeyAndAnyValueInACallback(t *testing.T) {
	rows := map[string]string{"": "the empty key", "empty value": "", "m": "x", "mcheckpoint": "x", "d": "x", "dd": "x", "\x00": "x",
		"\xff\xff": "x", "__offset": "x", strings.Repeat("k", 900<<10): "x", "large": strings.Repeat("v", 900<<10)}
	step := func(ctx *topology.Context, what string) error {
		switch what {
		case "set":
			for key, value := range rows {
				if err := notes.SetKey(ctx, key, []byte(value)); err != nil {
					return err
				}
			}
		case "delete":
			return errors.Join(notes.DeleteKey(ctx, ""), notes.DeleteKey(ctx, "mcheckpoint"), notes.DeleteKey(ctx, "not there"))
		}
		return nil
	}
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		var want map[string]string
		g := noter(k.T, func(ctx *topology.Context, what string) error {
			if err := step(ctx, what); err != nil {
				return err
			}
			for key, value := range want {
				if got, ok, err := notes.GetKey(ctx, key); err != nil || !ok || string(got) != value {
					return fmt.Errorf("GetKey(%.20q): %t %v", key, ok, err)
				}
			}
			got, err := ranged(ctx)
			if err == nil && !maps.Equal(want, got) {
				err = fmt.Errorf("Range shows %d rows, not %d: %.200q", len(got), len(want), got)
			}
			return err
		})
		say := func(i *streamtest.Instance, what string) {
			k.Send("clicks", "any", what)
			k.Settle(g)
			for key, value := range streamtest.Read(i, notes, slices.Collect(maps.Keys(rows))...) {
				require.Equal(k.T, want[key], string(value))
			}
			require.Equal(k.T, want, k.Fold("notes"))
		}
		i := k.Start(g)
		want = maps.Clone(rows)
		say(i, "set")
		say(i, "look")
		require.NoError(k.T, i.Stop())
		i = k.Start(g)
		say(i, "look at the disk")
		delete(want, "")
		delete(want, "mcheckpoint")
		say(i, "delete")
		say(i, "look")
	})
}

func TestAnyKey_OfAnotherPartitionIsNamed(t *testing.T) {
	far, own := "", ""
	for i := 0; far == "" || own == ""; i++ {
		key := fmt.Sprint(i)
		if partitionOf(key, 4) == 3 {
			own = key
		} else {
			far = key
		}
	}
	for name, call := range map[string]func(*topology.Context) error{
		"GetKey":    func(ctx *topology.Context) error { _, _, err := notes.GetKey(ctx, far); return err },
		"SetKey":    func(ctx *topology.Context) error { return notes.SetKey(ctx, far, nil) },
		"DeleteKey": func(ctx *topology.Context) error { return notes.DeleteKey(ctx, far) },
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 4)
				i := k.Start(noter(k.T, func(ctx *topology.Context, _ string) error {
					return errors.Join(notes.SetKey(ctx, own, nil), call(ctx))
				}))
				k.Send("clicks", own, "x")
				err := i.Wait()
				var record *processor.RecordError
				require.ErrorAs(k.T, err, &record)
				var other *topology.PartitionError
				require.ErrorAs(k.T, err, &other)
				require.Equal(k.T, topology.PartitionError{Table: "notes", Key: far,
					Partition: partitionOf(far, 4), Task: 3}, *other)
				require.Empty(k.T, k.Fold("notes"))
			})
		})
	}
}

// Nothing of a failed record stays: by any key, deleted, with a time of its own, or in a range that was left open.
func TestR61_NothingStaysOfAFailedRecordByAnyKey(t *testing.T) {
	out := topology.NewStream("out", codec.String)
	for name, end := range map[string]func() error{"error": func() error { return errors.New("no") }, "panic": func() error { panic("no") }} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				i := k.Start(define(k.T, "noter", topology.Persist(notes), topology.Output(out),
					topology.Input(clicks, func(ctx *topology.Context, what string) error {
						if what == "good" {
							return errors.Join(notes.SetKey(ctx, "kept", []byte("1")), notes.SetKey(ctx, "other", []byte("1")))
						}
						old := ctx.WithTimestamp(time.UnixMilli(1))
						err := errors.Join(notes.SetKey(ctx, "kept", []byte("2")), notes.DeleteKey(old, "other"),
							notes.SetKey(old, "new", nil), out.Emit(old, "k", "v"))
						for _, e := range notes.Range(ctx) {
							return errors.Join(err, e, end())
						}
						return errors.New("no rows")
					})))
				k.Send("clicks", "any", "good")
				k.Send("clicks", "any", "bad")
				require.Error(k.T, i.Wait())
				require.Equal(k.T, map[string]string{"kept": "1", "other": "1"}, k.Fold("notes"))
				require.Empty(k.T, k.Records("out"))
			})
		})
	}
}

// What a callback does to a value it got from GetKey or Range, or gave to SetKey, changes nothing.
func TestR62_ValuesByAnyKeyAreTheCallbacksOwn(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := noter(k.T, func(ctx *topology.Context, what string) error {
			if what == "set" {
				mine := []byte("value")
				err := errors.Join(notes.SetKey(ctx, "a", mine), notes.SetKey(ctx, "b", mine))
				copy(mine, "#####")
				return err
			}
			got, _, err := notes.GetKey(ctx, "a")
			copy(got, "#####")
			for row, e := range notes.Range(ctx) {
				copy(row.Value, "#####")
				err = errors.Join(err, e)
			}
			return errors.Join(err, notes.SetKey(ctx, "c", nil))
		})
		i := k.Start(g)
		for _, what := range []string{"set", "spoil", "spoil"} {
			k.Send("clicks", "any", what)
			k.Settle(g)
		}
		require.NoError(k.T, i.Stop())
		k.Start(g)
		k.Send("clicks", "any", "spoil")
		k.Settle(g)
		require.Equal(k.T, map[string]string{"a": "value", "b": "value", "c": ""}, k.Fold("notes"))
	})
}

// At every record a callback's Range is what the writes before it amount to, wherever they stand by then: open, in a
// commit, committed, being flushed, on disk; over many commits, flushes and restarts.
func TestRange_IsTheFoldAtEveryRecord(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	model := map[string]string{}
	change := func(ctx *topology.Context, key, value string) (err error) {
		if value == "" {
			delete(model, key)
			return notes.DeleteKey(ctx, key)
		}
		model[key] = value
		return notes.SetKey(ctx, key, []byte(value))
	}
	g := noter(t, func(ctx *topology.Context, v string) error {
		before := maps.Clone(model)
		key, value, _ := strings.Cut(v, "=")
		got, err := ranged(ctx)
		if err == nil && !maps.Equal(before, got) {
			err = fmt.Errorf("before %s: %v, not %v", v, got, before)
		}
		err = errors.Join(err, change(ctx, key, value))
		for row, e := range notes.Range(ctx) { // the loop does not see what it does
			err = errors.Join(err, e, change(ctx, row.Key+"'", ""), change(ctx, row.Key, string(row.Value)+"."))
		}
		if got, e := ranged(ctx); e != nil || !maps.Equal(model, got) {
			err = errors.Join(err, e, fmt.Errorf("after %s: %v, not %v", v, got, model))
		}
		return err
	})
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		for range 4 {
			i := k.Start(g, processor.CommitInterval(20*time.Millisecond), processor.FlushInterval(70*time.Millisecond))
			for range 60 {
				value := ""
				if r.IntN(3) > 0 {
					value = fmt.Sprint(r.IntN(100))
				}
				k.Send("clicks", "any", fmt.Sprintf("%d=%s", r.IntN(30), value))
				time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
			}
			k.Settle(g)
			require.Equal(k.T, model, k.Fold("notes"))
			require.NoError(k.T, i.Stop())
		}
		require.NotEmpty(k.T, model)
	})
}

// A callback that ranges on while its partition goes to another instance is told, and nothing of it is written.
func TestRange_EndsWithTheLease(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		told := make(chan error, 1)
		first := true
		g := noter(k.T, func(ctx *topology.Context, what string) error {
			if what == "fill" || !first {
				return errors.Join(notes.SetKey(ctx, "a", nil), notes.SetKey(ctx, "b", nil))
			}
			first = false
			if err := notes.SetKey(ctx, "lost", nil); err != nil {
				return err
			}
			for _, err := range notes.Range(ctx) {
				if err != nil {
					told <- err
					return nil // even so
				}
				<-ctx.Done()
			}
			return errors.New("the range ended like a whole one")
		})
		a := k.StartAs("a", g)
		k.Send("clicks", "any", "fill")
		k.Settle(g)
		k.Send("clicks", "any", "range")
		time.Sleep(time.Second)
		a.Disconnect()
		b := k.StartAs("b", g)
		require.ErrorContains(k.T, <-told, "lost")
		k.Settle(g)
		a.Connect()
		require.NoError(k.T, b.Stop())
		k.Until("a has it back", func() bool { return a.Running() == 1 })
		k.Settle(g)
		require.Equal(k.T, map[string]string{"a": "", "b": ""}, k.Fold("notes"))
	})
}
