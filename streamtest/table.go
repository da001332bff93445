package streamtest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

func (k *Kit) tb() testing.TB { return k.t }

// Fold gives the newest value of each key of a topic, as a new reader of all of it would see it.
func (k *Kit) Fold(topic string) map[string]string {
	k.t.Helper()
	all := map[string]string{}
	for p := range k.partitions(topic) {
		rows, err := k.Broker.Fold(topic, p)
		k.check(err)
		for key, value := range rows {
			all[key] = string(value)
		}
	}
	return all
}

// Records gives the committed records of a topic, partition by partition.
func (k *Kit) Records(topic string) []devbroker.Record {
	k.t.Helper()
	var all []devbroker.Record
	for _, p := range k.placed(topic) {
		all = append(all, p.Record)
	}
	return all
}

func (k *Kit) written(h topology.Handle) []placed {
	k.t.Helper()
	return k.placed(h.Name())
}

func (k *Kit) placed(topic string) []placed {
	k.t.Helper()
	var all []placed
	for p := range k.partitions(topic) {
		records, err := k.Broker.Records(topic, p)
		k.check(err)
		for _, r := range records {
			all = append(all, placed{r, p})
		}
	}
	return all
}

// FoldOf is Fold with the values decoded: what the table must hold.
func FoldOf[T any](k *Kit, table Handle[T]) map[string]T {
	k.t.Helper()
	return decodeRows(k.t, table, k.rows(table))
}

// Read reads the given keys of a table from an instance that keeps all of its partitions; absent ones are left out.
func Read[T any](i *Instance, table *topology.Table[T], keys ...string) map[string]T {
	i.kit.t.Helper()
	rows := map[string]T{}
	for _, key := range keys {
		v, ok, err := processor.Get(i.Processor, table, key)
		if err != nil {
			i.kit.t.Fatalf("streamtest: instance %s: table %s, key %.64q: %v", i.name, table.Name(), key, err)
		}
		if ok {
			rows[key] = v
		}
	}
	return rows
}

func (k *Kit) rows(table topology.Handle) map[string][]byte {
	k.t.Helper()
	rows := map[string][]byte{}
	for key, value := range k.Fold(table.Name()) {
		rows[key] = []byte(value)
	}
	return rows
}

// compare gives a table's rows by its topic, and fails the test where the instances that keep it answer otherwise.
func compare[T any](k *Kit, h Handle[T]) map[string]T {
	k.t.Helper()
	table, ok := h.(*topology.Table[T])
	keepers := k.keepers(h)
	if !ok || len(keepers) == 0 {
		return FoldOf(k, h)
	}
	keys := k.seen(h.Name())
	k.Until("current: table "+h.Name(), func() bool {
		return !slices.ContainsFunc(keys, func(key string) bool { return len(ask(k, keepers, table, key)) == 0 })
	})
	rows := FoldOf(k, h)
	var wrong []string
	for _, key := range k.seen(h.Name()) {
		v, there := rows[key]
		for _, a := range ask(k, keepers, table, key) {
			if a.there != there || !reflect.DeepEqual(a.value, v) {
				wrong = append(wrong, fmt.Sprintf("\tkey %.64q: instance %s answers %s, the topic says %s",
					key, a.by.name, shown(a.value, a.there), shown(v, there)))
			}
		}
	}
	if len(wrong) > 0 {
		k.t.Fatalf("streamtest: table %s is not the fold of its topic:\n%s\n%s", h.Name(), strings.Join(wrong, "\n"), k.status())
	}
	return rows
}

// answer is what an instance says of a key.
type answer[T any] struct {
	by    *Instance
	value T
	there bool
}

func shown[T any](v T, there bool) string {
	if !there {
		return "that there is none"
	}
	return fmt.Sprintf("%+v", v)
}

// ask gives the answers of the instances that have the key's partition and have it current.
func ask[T any](k *Kit, keepers []*Instance, table *topology.Table[T], key string) []answer[T] {
	k.t.Helper()
	var out []answer[T]
	for _, i := range keepers {
		v, there, err := processor.Get(i.Processor, table, key)
		switch _, elsewhere := errors.AsType[*processor.NotLocalError](err); {
		case elsewhere || errors.Is(err, processor.ErrNotReady):
		case err != nil:
			k.t.Fatalf("streamtest: instance %s: table %s, key %.64q: %v", i.name, table.Name(), key, err)
		default:
			out = append(out, answer[T]{i, v, there})
		}
	}
	return out
}

// keepers are the running instances of groups that keep a table.
func (k *Kit) keepers(table topology.Handle) []*Instance {
	var out []*Instance
	for _, i := range k.instances {
		keeps := slices.ContainsFunc(i.group.Description().Tables, func(t scope.Table) bool { return t.Handle == table.Spec().Handle })
		if keeps && !i.ended() {
			out = append(out, i)
		}
	}
	return out
}

// seen gives the keys that a topic has or has had when it was last looked at.
func (k *Kit) seen(topic string) []string {
	k.t.Helper()
	if k.keys[topic] == nil {
		k.keys[topic] = map[string]bool{}
	}
	for _, w := range k.placed(topic) {
		if w.Key != nil {
			k.keys[topic][string(w.Key)] = true
		}
	}
	return slices.Sorted(maps.Keys(k.keys[topic]))
}
