package devbroker

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var errDropped = errors.New("devbroker: connection dropped by a rule")

// rules are what the test asked to do with requests before faults see them.
type rules struct {
	mu        sync.Mutex
	installed []Request
	drops     []*drop
	holds     []*Held
	delays    []*delay
}

// delay is how long requests of a kind wait.
type delay struct {
	request Request
	wait    time.Duration
}

type drop struct {
	request Request
	left    int
}

// Drop closes the connection of the next count requests of a kind, before any work is done; -1 for all until Undrop.
func (b *Broker) Drop(r Request, count int) {
	b.rules.mu.Lock()
	b.rules.drops = append(b.rules.drops, &drop{request: r, left: count})
	b.rules.mu.Unlock()
	b.watch(r)
}

// Undrop ends every Drop.
func (b *Broker) Undrop() {
	b.rules.mu.Lock()
	b.rules.drops = nil
	b.rules.mu.Unlock()
}

// Delay has every request of a kind wait before any work is done, until end is called; what waits then goes on waiting.
// Requests that come later on the same connection wait behind it.
func (b *Broker) Delay(r Request, wait time.Duration) (end func()) {
	d := &delay{request: r, wait: wait}
	b.rules.mu.Lock()
	b.rules.delays = append(b.rules.delays, d)
	b.rules.mu.Unlock()
	b.watch(r)
	return func() {
		b.rules.mu.Lock()
		defer b.rules.mu.Unlock()
		b.rules.delays = slices.DeleteFunc(b.rules.delays, func(o *delay) bool { return o == d })
	}
}

// Hold keeps the next request of a kind, before any work is done, until it is released. Requests that come later on the
// same connection wait behind it; others pass. A name other than "" selects requests that name that topic or group.
func (b *Broker) Hold(r Request, name string) *Held { return b.hold(r, name, false) }

// HoldAnswer does the work of the next request of a kind and then keeps its answer. It can be used for Produce, Fetch,
// ListOffsets, Metadata, OffsetCommit, OffsetFetch and the requests of transactions; it panics for any other.
func (b *Broker) HoldAnswer(r Request, name string) *Held {
	if _, ok := flexible[kmsg.Key(r.key())]; !ok {
		panic("devbroker: HoldAnswer of " + r.String())
	}
	return b.hold(r, name, true)
}

func (b *Broker) hold(r Request, name string, answer bool) *Held {
	h := &Held{
		rules: &b.rules, request: r, name: name, answer: answer,
		arrived: make(chan struct{}), freed: make(chan struct{}),
	}
	b.rules.mu.Lock()
	b.rules.holds = append(b.rules.holds, h)
	b.rules.mu.Unlock()
	b.watch(r)
	return h
}

// Held is a request that the broker keeps, or will keep when it comes. The end of the broker drops it.
type Held struct {
	rules   *rules
	request Request
	name    string
	answer  bool
	arrived chan struct{}
	once    sync.Once
	freed   chan struct{}
	dropped bool // written before freed is closed
}

// Arrived is closed when the request is there and kept; with HoldAnswer, when its work has been done.
func (h *Held) Arrived() <-chan struct{} { return h.arrived }

// Release lets the request go on, or no request be kept where none has come. Further calls do nothing.
func (h *Held) Release() { h.free(false) }

// Drop closes the request's connection in place of an answer. After HoldAnswer that is an outcome unknown to the client.
func (h *Held) Drop() { h.free(true) }

func (h *Held) free(dropped bool) {
	h.once.Do(func() {
		h.rules.mu.Lock()
		h.rules.holds = slices.DeleteFunc(h.rules.holds, func(o *Held) bool { return o == h })
		h.rules.mu.Unlock()
		h.dropped = dropped
		close(h.freed)
	})
}

// wait keeps the request until it is freed or the cluster ends.
func (h *Held) wait(l *life) {
	close(h.arrived)
	select {
	case <-h.freed:
	case <-l.ctx.Done():
	}
}

// isDropped may be asked after wait.
func (h *Held) isDropped() bool {
	select {
	case <-h.freed:
		return h.dropped
	default:
		return true // ended by the broker's end
	}
}

// take finds what is to be done with a request, and takes it off the list.
func (r *rules) take(req kmsg.Request) (dropped bool, held *Held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.drops {
		if d.left != 0 && matches(d.request, req) {
			if d.left > 0 {
				d.left--
			}
			return true, nil
		}
	}
	for i, h := range r.holds {
		if matches(h.request, req) && names(req, h.name) {
			r.holds = slices.Delete(r.holds, i, i+1)
			return false, h
		}
	}
	return false, nil
}

// delayed is how long a request is to wait that is shown as one of a kind: where AnyRequest is watched, too, it is shown
// twice.
func (r *rules) delayed(kind Request) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.delays {
		if d.request == kind {
			wait += d.wait
		}
	}
	return wait
}

func matches(r Request, req kmsg.Request) bool { return r == AnyRequest || r.key() == req.Key() }

// watch has the cluster show us requests of a kind. It is done on demand, since the cluster then keeps the last request
// of every connection in memory.
func (b *Broker) watch(r Request) {
	if !b.rules.add(r) {
		return
	}
	b.install(r)
}

func (b *Broker) install(r Request) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	c, l := b.cluster, b.life
	c.ControlKey(r.key(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if isInner(req) {
			return nil, nil, false
		}
		if !l.enter() {
			return nil, errDropped, true
		}
		defer l.leave()
		return b.control(&visit{c: c, life: l, node: c.CurrentNode(), kind: r, req: req})
	})
}

// A visit is one request of a client on its way into the cluster.
type visit struct {
	c    *kfake.Cluster
	life *life
	node int32
	kind Request // by which it is watched
	req  kmsg.Request
}

func (r *rules) add(kind Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.installed, kind) {
		return false
	}
	r.installed = append(r.installed, kind)
	return true
}

func (r *rules) reinstall(install func(Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kind := range r.installed {
		install(kind)
	}
}

// control decides on a request. An error closes the connection; false leaves the work to the cluster.
func (b *Broker) control(v *visit) (kmsg.Response, error, bool) {
	fetch, _ := v.req.(*kmsg.FetchRequest)
	if fetch != nil {
		nameTopics(v.c, fetch)
	}
	if wait := b.rules.delayed(v.kind); wait > 0 {
		v.c.SleepControl(func() { v.life.sleep(wait) })
	}
	dropped, held := b.rules.take(v.req)
	if dropped {
		return nil, errDropped, true
	}
	if held != nil && !held.answer {
		v.c.SleepControl(func() { held.wait(v.life) })
		if held.isDropped() {
			return nil, errDropped, true
		}
		held = nil
	}
	hollow := fetch != nil && b.hollow.touches(fetch)
	if v.kind != AnyRequest { // by which it is shown once more
		b.hear(v.req)
	}
	if held == nil && !hollow {
		return nil, nil, false
	}
	return b.answerFor(v, held)
}

// answerFor does the work in the client's place, off the cluster's loop, and gives the answer when it may go.
func (b *Broker) answerFor(v *visit, held *Held) (kmsg.Response, error, bool) {
	var resp kmsg.Response
	var err error
	if fetch, ok := v.req.(*kmsg.FetchRequest); ok {
		fetch.SessionID, fetch.SessionEpoch = 0, -1 // a whole answer, outside any session
	}
	v.c.SleepControl(func() {
		resp, err = b.forward(v)
		if held != nil {
			held.wait(v.life)
		}
	})
	switch {
	case held != nil && held.isDropped():
		return nil, errDropped, true
	case err != nil:
		return nil, err, true
	}
	if answer, ok := resp.(*kmsg.FetchResponse); ok {
		b.hollow.rewrite(v.c, answer)
	}
	return resp, nil, true
}
