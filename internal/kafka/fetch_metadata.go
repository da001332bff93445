package kafka

import (
	"slices"
	"time"
)

// metadataDue gives the topics to refresh now, or how long to wait.
func (x *fetcher) metadataDue(now time.Time) ([]string, time.Duration) {
	if len(x.flows) == 0 {
		return nil, forever
	}
	if x.metaNext.IsZero() {
		x.metaNext = now.Add(x.cfg.MetadataInterval)
	}
	at := x.metaNext
	if x.urgent && x.metaAfter.Before(at) {
		at = x.metaAfter
	}
	if wait := at.Sub(now); wait > 0 {
		return nil, wait
	}
	all := !now.Before(x.metaNext)
	var names []string
	for _, f := range x.flows {
		if all || f.stale {
			names = append(names, f.topic)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		x.urgent = false
		return nil, x.metaNext.Sub(now)
	}
	x.metaAfter = now.Add(grow(0))
	return names, 0
}

// metadata applies a refresh, also one that was made for a Cursor's Bounds; found is nil where it failed.
func (x *fetcher) metadata(found map[string]Topic, now time.Time) {
	x.urgent = false
	all := true
	for _, f := range x.flows {
		t, ok := found[f.topic]
		if ok {
			x.topics[f.topic] = t
			f.adopt(t, now)
			x.lead(f)
		}
		all = all && ok
		x.urgent = x.urgent || f.stale
	}
	if all {
		x.metaNext = now.Add(x.cfg.MetadataInterval)
	}
}

// refreshed backs off after a refresh that was due, the longer the more of them in a row have not helped. One that was
// made for Bounds does not count: cursors that ask again and again would keep all others from what they need to know.
func (x *fetcher) refreshed(now time.Time) {
	if x.metaWait = grow(x.metaWait); !x.urgent {
		x.metaWait = grow(0)
	}
	x.metaAfter = now.Add(x.metaWait)
	if x.metaNext.Before(x.metaAfter) {
		x.metaNext = x.metaAfter
	}
}
