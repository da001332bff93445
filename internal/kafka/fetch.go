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
	// mostAnswer and mostPartition bound what is asked for at a time, however much may be held.
	mostAnswer    = 8 << 20
	mostPartition = 1 << 20
	// answerCopies is how often the bytes of an answer are in memory while it is received: as they came, and as much again for
	// the list of their records.
	answerCopies = 2
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
	flying int64 // what the answers under way may take in memory
	unfold unfolder

	urgent    bool // a flow is stale
	metaNext  time.Time
	metaAfter time.Time // no refresh before
	metaWait  time.Duration
}

type fetchingNode struct {
	aloneLast bool
	notBefore time.Time // the broker wants to be left alone until then
}

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
	since    uint64 // the flow's lastAsked before
}

// fetchPlan is a fetch to send, or, without asks, a wait.
type fetchPlan struct {
	node    int32
	asks    []fetchAsk
	alone   bool
	ample   bool
	maxWait time.Duration
	bytes   int32
	wait    time.Duration
}

func (p *fetchPlan) request() *fetchRequest {
	r := &fetchRequest{maxWait: p.maxWait, bytes: p.bytes, committed: true}
	for _, a := range p.asks {
		r.asks = append(r.asks, partAsk{a.flow.of(), a.position, a.epoch, a.bytes})
	}
	return r
}

// fetchAnswer is what came of a fetch. sent is false where the connection could not be used at all.
type fetchAnswer struct {
	res    *fetched
	err    error
	sent   bool
	chunks []chunk // by ask, once unfolded
}

// unfold turns the answer into records: work that needs nothing of the fetcher.
func (a *fetchAnswer) unfold(p fetchPlan, u *unfolder) {
	if a.err != nil || a.res == nil || a.chunks != nil {
		return
	}
	a.chunks = make([]chunk, len(p.asks))
	for i := range p.asks {
		k := &p.asks[i]
		if got := a.res.parts[k.flow.of()]; got != nil && got.code == sarama.ErrNoError {
			a.chunks[i] = u.chunk(got, k.position)
		}
	}
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
	f.empty()
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
	p := fetchPlan{node: node, maxWait: x.cfg.MaxWait, bytes: x.answerBytes(), wait: forever}
	if now.Before(x.hurry) {
		p.maxWait = min(p.maxWait, shortWait)
	}
	n := x.nodes[node]
	if n != nil && now.Before(n.notBefore) {
		p.wait = n.notBefore.Sub(now)
		return p
	}
	shared, alone := x.due(node, now, &p)
	switch {
	case len(alone) > 0 && (len(shared) == 0 || n == nil || !n.aloneLast):
		p.alone, p.ample = true, alone[0].ample
		if p.ample {
			p.bytes = max(p.bytes, ampleBytes)
		}
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
	if len(p.asks) > 0 {
		x.flying += p.flying()
	}
	return p
}

// flying is what the answer may take in memory.
func (p *fetchPlan) flying() int64 { return answerCopies * int64(p.bytes) }

// answerBytes is what an answer may bring.
func (x *fetcher) answerBytes() int32 {
	return int32(min(max(x.cfg.Bytes/2/answerCopies/int64(max(len(x.nodes), 1)), 1), mostAnswer))
}

// part is what a flow may hold.
func (x *fetcher) part() int64 { return max(x.cfg.Bytes/2/int64(max(len(x.flows), 1)), 1) }

// held is what all flows hold.
func (x *fetcher) held() (sum int64) {
	for _, f := range x.flows {
		sum += f.holds()
	}
	return sum
}

// promised is what flows may get without being asked again whether there is room: what is under way, and their parts.
func (x *fetcher) promised() (sum int64) {
	for _, f := range x.flows {
		if f.asking() {
			sum += f.coming
		} else {
			sum += max(x.partRoom(f), 0)
		}
	}
	return sum
}

// partRoom is how much an answer may bring a flow of its part: at most half, so that one half is fetched while the other is in use.
func (x *fetcher) partRoom(f *flow) int64 { return min(x.part()/2, x.part()-f.holds()) }

// room is how much an answer may bring a flow where all hold so much.
func (x *fetcher) room(f *flow, held int64) int64 { return min(x.partRoom(f), x.cfg.Bytes/2-held) }

// isFull tells whether a flow is left out of the fetches because of what it holds. One that holds nothing never is.
func (x *fetcher) isFull(f *flow, held int64) bool {
	return f.holds() > 0 && x.room(f, held) < x.part()/4
}

// pop takes of a flow. again tells that it was left out for what it held and is so no more: nobody else makes its broker's loop look.
// Whether it was goes by the last plan: what it may hold is another when other flows come, go, or hold less.
func (x *fetcher) pop(f *flow) (c chunk, ok bool, again bool, err error) {
	c, ok, err = f.pop()
	again = f.leftOut && !x.isFull(f, x.held())
	f.leftOut = f.leftOut && !again
	return c, ok, again, err
}

// due gathers the flows that may be asked for now, the one that waited longest first. p's waits are shortened for the
// ones that are left out.
func (x *fetcher) due(node int32, now time.Time, p *fetchPlan) (shared, alone []*flow) {
	held := x.held()
	for _, f := range x.flows {
		if f.leader != node || f.position < 0 || f.asking() {
			continue
		}
		if wait := f.notBefore.Sub(now); wait > 0 {
			p.maxWait = min(p.maxWait, max(wait, time.Millisecond))
			if p.wait < 0 || wait < p.wait {
				p.wait = wait
			}
			continue
		}
		f.leftOut = x.isFull(f, held)
		switch {
		case f.leftOut:
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
//
// The naive way asks each for no more than its part has room for. Where batches are larger, a broker gives a batch of the first one
// and nothing of the others (KIP-74): one batch a request, however many partitions wait. The rule: a flow is asked for a batch
// at least, as large as its log's are, while that has room in the answer and, as memory, in what nobody has been promised; the rest
// come first next time. One of which no batch is known to be there has its part: it would keep the room for as long as nothing comes.
func (x *fetcher) take(p *fetchPlan, flows []*flow) {
	taken := make(map[partOf]bool, len(flows))
	sum, held := int64(0), x.held()
	left := (x.cfg.Bytes/2 - held - x.promised()) / int64(max(len(x.nodes), 1)) // other brokers have batches, too
	for _, f := range flows {
		if taken[f.of()] {
			p.maxWait = min(p.maxWait, shortWait)
			continue
		}
		taken[f.of()] = true
		x.asked++
		since := f.lastAsked
		f.lastAsked = x.asked
		bytes := f.ask(x.room(f, held))
		more := f.memory(f.batch - bytes)
		if f.tooFew(bytes) && more <= left && sum+int64(f.batch) <= int64(p.bytes) {
			bytes = f.batch
			left -= more
		}
		f.coming = f.memory(bytes)
		if p.alone {
			bytes = p.bytes
		}
		sum += int64(bytes)
		p.asks = append(p.asks, fetchAsk{flow: f, version: f.version, position: f.position, epoch: f.epoch, bytes: bytes, since: since})
	}
	p.bytes = int32(min(int64(p.bytes), sum))
	p.asks = byTopic(p.asks)
}

// byTopic has the partitions of a topic behind each other, as a request names them and a broker fills its answer.
func byTopic(asks []fetchAsk) []fetchAsk {
	rank := map[string]int{}
	for _, a := range asks {
		if _, ok := rank[a.flow.topic]; !ok {
			rank[a.flow.topic] = len(rank)
		}
	}
	if len(rank) > 1 {
		slices.SortStableFunc(asks, func(a, b fetchAsk) int { return cmp.Compare(rank[a.flow.topic], rank[b.flow.topic]) })
	}
	return asks
}
