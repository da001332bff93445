package main

import (
	"strings"

	"github.com/tarnstream/tarn/topology"
)

// groups are the five services. Each may run in a process of its own, and in several.
type groups struct{ filter, collector, blocker, translator, detector *topology.Group }

func define() (g groups, err error) {
	define := func(name string, edges ...topology.Edge) (group *topology.Group) {
		if err == nil {
			group, err = topology.Define(name, edges...)
		}
		return group
	}
	g.filter = define("filter", topology.Input(sent, deliver), topology.Join(blocked.ReadOnly()),
		topology.Lookup(dictionary.ReadOnly()), topology.Output(delivered))
	g.collector = define("collector", topology.Input(delivered, collect), topology.Persist(feeds))
	g.blocker = define("blocker", topology.Input(blocks, block), topology.Persist(blocked))
	g.translator = define("translator", topology.Input(words, translate), topology.Persist(dictionary))
	g.detector = define("detector", topology.Input(sent, onSent), topology.Input(delivered, onDelivered),
		topology.Persist(traffic), topology.Output(blocks))
	return g, err
}

// deliver passes messages on to their receivers, in translation, unless the sender is blocked.
func deliver(ctx *topology.Context, m message) error {
	out, _, err := blocked.ReadOnly().Get(ctx) // of the sender
	if out || err != nil {
		return err
	}
	fields := strings.Fields(m.Text)
	for i, word := range fields {
		translation, known, err := dictionary.ReadOnly().GetKey(ctx, word)
		if err != nil {
			return err
		}
		if known {
			fields[i] = translation
		}
	}
	m.Text = strings.Join(fields, " ")
	return delivered.Emit(ctx, m.To, m)
}

// kept is how many messages a feed has.
const kept = 5

func collect(ctx *topology.Context, m message) error {
	feed, _, err := feeds.Get(ctx)
	if err != nil {
		return err
	}
	feed = append(feed, m)
	return feeds.Set(ctx, feed[max(0, len(feed)-kept):])
}

func block(ctx *topology.Context, on bool) error {
	if !on {
		return blocked.Delete(ctx)
	}
	return blocked.Set(ctx, true)
}

func translate(ctx *topology.Context, translation string) error {
	return dictionary.Set(ctx, translation)
}

// A spammer sends this many messages and is hardly ever written to.
const (
	spamSent  = 6
	spamRatio = 5
)

func onSent(ctx *topology.Context, _ message) error {
	return count(ctx, func(c *counts) { c.Sent++ })
}

func onDelivered(ctx *topology.Context, _ message) error {
	return count(ctx, func(c *counts) { c.Got++ })
}

// count is for the sender of a message sent, and for the receiver of one delivered: their records have the same key.
func count(ctx *topology.Context, change func(*counts)) error {
	c, _, err := traffic.Get(ctx)
	if err != nil {
		return err
	}
	change(&c)
	if c.Sent == spamSent && c.Sent > spamRatio*c.Got {
		if err := blocks.Emit(ctx, ctx.Key(), true); err != nil {
			return err
		}
	}
	return traffic.Set(ctx, c)
}
