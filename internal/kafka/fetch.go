package kafka

import (
	"cmp"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

const (
	// shortWait replaces MaxWait while a partition is left out that could come back any moment.
	shortWait = 20 * time.Millisecond
	// hurryTime is how long waits stay short after a seek: others usually follow, and would stand behind a long poll.
	hurryTime = 2 * time.Second
	// ampleBytes is room for any batch that is not the first of its answer.
	ampleBytes = 16 << 20
)

// forever is a wait that only a kick ends.
const forever time.Duration = -1

// fetcher decides which partitions go into which fetch and what an answer does to them. It has no goroutine, lock, or clock.
type fetcher struct {
	cfg    ReaderConfig
	flows  []*flow
	topics map[string]Topic        // as metadata said last
	nodes  map[int32]*fetchingNode // brokers that lead or led a flow
	dead   error                   // every flow's error once Run has failed
	asked  uint64
	hurry  time.Time

	urgent    bool // a flow is stale
	metaNext  time.Time
	metaAfter time.Time // no refresh before
	metaWait  time.Duration
}

type fetchingNode struct{ aloneLast bool }

func newFetcher(cfg ReaderConfig) *fetcher {
	return &fetcher{cfg: cfg, topics: map[string]Topic{}, nodes: map[int32]*fetchingNode{}}
}

// fetchAsk is one partition in a fetch.
type fetchAsk struct {
	flow     *flow
	version  uint64
	position int64
	epoch    int32
	bytes    int32
}

// fetchPlan is a fetch to send, or, without asks, a wait.
type fetchPlan struct {
	node    int32
	asks    []fetchAsk
	alone   bool
	maxWait time.Duration
	bytes   int32
	wait    time.Duration
}

func (p *fetchPlan) request() *sarama.FetchRequest {
	req := &sarama.FetchRequest{Version: 12, MaxWaitTime: int32(p.maxWait.Milliseconds()), MinBytes: 1, MaxBytes: p.bytes,
		Isolation: sarama.ReadCommitted, SessionEpoch: -1}
	for _, a := range p.asks {
		req.AddBlock(a.flow.topic, a.flow.partition, a.position, a.bytes, a.epoch)
	}
	return req
}

// fetchAnswer is what came of a fetch. sent is false where the connection could not be used at all.
type fetchAnswer struct {
	res  *sarama.FetchResponse
	err  error
	sent bool
}

func (x *fetcher) add(f *flow, now time.Time) {
	x.flows = append(x.flows, f)
	if x.dead != nil {
		f.stick(x.dead)
	}
	x.touch(f, now)
}

func (x *fetcher) remove(f *flow) {
	f.raise(-1)
	f.queue, f.bytes = nil, 0
	x.flows = slices.DeleteFunc(x.flows, func(o *flow) bool { return o == f })
}

func (x *fetcher) seek(f *flow, position int64, now time.Time) {
	f.seek(position)
	if x.dead != nil {
		f.stick(x.dead)
	}
	x.touch(f, now)
}

// touch compares a flow that begins anew with what is known of its topic.
func (x *fetcher) touch(f *flow, now time.Time) {
	x.hurry = now.Add(hurryTime)
	if t, ok := x.topics[f.topic]; ok && t.Err == nil && int(f.partition) < len(t.Partitions) {
		again := f.stale && f.leader >= 0 // it asked for metadata fresher than this
		f.adopt(t, now)
		f.stale = f.stale || again
		x.lead(f)
	}
	x.urgent = x.urgent || f.stale
}

func (x *fetcher) lead(f *flow) {
	if f.leader >= 0 && x.nodes[f.leader] == nil {
		x.nodes[f.leader] = &fetchingNode{}
	}
}

// stop gives every flow the error that ended the reader.
func (x *fetcher) stop(err error) {
	x.dead = err
	for _, f := range x.flows {
		f.stick(err)
	}
}

// plan chooses what to ask a broker for now. Partitions that need to be asked alone take turns with all others.
func (x *fetcher) plan(node int32, now time.Time) fetchPlan {
	p := fetchPlan{node: node, maxWait: x.cfg.MaxWait, bytes: x.cfg.MaxBytes, wait: forever}
	if now.Before(x.hurry) {
		p.maxWait = min(p.maxWait, shortWait)
	}
	shared, alone := x.due(node, now, &p)
	n := x.nodes[node]
	switch {
	case len(alone) > 0 && (len(shared) == 0 || n == nil || !n.aloneLast):
		p.alone, p.bytes = true, max(ampleBytes, x.cfg.MaxBytes)
		if len(shared)+len(alone) > 1 {
			p.maxWait = min(p.maxWait, time.Millisecond)
		}
		x.take(&p, alone[:1])
	case len(shared) > 0:
		if len(alone) > 0 {
			p.maxWait = min(p.maxWait, shortWait)
		}
		x.take(&p, shared)
	}
	if n != nil {
		n.aloneLast = p.alone
	}
	return p
}

// due gathers the flows that may be asked for now, the one that waited longest first. p's waits are shortened for the
// ones that are left out.
func (x *fetcher) due(node int32, now time.Time, p *fetchPlan) (shared, alone []*flow) {
	for _, f := range x.flows {
		if f.leader != node || f.position < 0 || f.asking {
			continue
		}
		if wait := f.notBefore.Sub(now); wait > 0 {
			p.maxWait = min(p.maxWait, max(wait, time.Millisecond))
			if p.wait < 0 || wait < p.wait {
				p.wait = wait
			}
			continue
		}
		switch {
		case f.full(&x.cfg):
			p.maxWait = min(p.maxWait, shortWait)
		case f.alone:
			alone = append(alone, f)
		default:
			shared = append(shared, f)
		}
	}
	waited := func(a, b *flow) int { return cmp.Compare(a.lastAsked, b.lastAsked) }
	slices.SortFunc(shared, waited)
	slices.SortFunc(alone, waited)
	return shared, alone
}

// take puts flows into a plan. Two Cursors of one partition go into different fetches.
func (x *fetcher) take(p *fetchPlan, flows []*flow) {
	type name struct {
		topic     string
		partition int32
	}
	taken := make(map[name]bool, len(flows))
	bytes := x.cfg.PartitionBytes
	if p.alone {
		bytes = p.bytes
	}
	for _, f := range flows {
		if taken[name{f.topic, f.partition}] {
			p.maxWait = min(p.maxWait, shortWait)
			continue
		}
		taken[name{f.topic, f.partition}] = true
		x.asked++
		f.lastAsked, f.asking = x.asked, true
		p.asks = append(p.asks, fetchAsk{flow: f, version: f.version, position: f.position, epoch: f.epoch, bytes: bytes})
	}
}
