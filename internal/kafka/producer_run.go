package kafka

import (
	"log/slog"
	"time"

	"github.com/IBM/sarama"
)

// maxRequestBytes bounds one Produce request: brokers and sarama refuse 100 MiB.
const maxRequestBytes = 16 << 20

// maxRequests bounds the Produce requests in flight to a broker. Each has one batch of a partition at most.
const maxRequests = maxWindow

// command is what the shell has to do: ask for a producer id, for fresh metadata, or send a Produce request. Those to send
// to one broker go out in the order they were given, and are answered in it.
type command struct {
	kind    commandKind
	node    int32    // of a send
	lanes   []*lane  // of a refresh
	batches []*batch // of a send
	size    int
	memory  int
}

type commandKind int8

const (
	cmdInit commandKind = iota
	cmdRefresh
	cmdSend
)

// event is a command's outcome.
type event struct {
	command
	err    error
	sent   bool // the request may have reached the broker
	ended  bool // the call's context had ended: err may say no more than that
	topics map[string]Topic
	id     int64
	epoch  int16
	answer *sarama.ProduceResponse
}

// run is one Produce call as a pure machine: next tells what to do, apply takes what came of it.
// It has no goroutine and no clock of its own.
type run struct {
	lanes  []*lane
	seqs   *sequences
	leader func(laneKey) (int32, bool)
	limits func(topic string) int
	log    *slog.Logger
	// missing is how long a topic is waited for, window how many batches of a partition may be in flight.
	missing time.Duration
	window  int
	// room is what a request may take in memory.
	room int
	// transactional: the epoch is not ours to raise. What would need another one fails.
	transactional bool

	flying     map[int32]int // requests in flight by broker
	asking     bool          // InitProducerID is in flight
	refreshing bool
	initDue    time.Time
	initWait   time.Duration
}

func newRun(p *Producer, batches []OutBatch) *run {
	r := &run{seqs: &p.seqs, leader: p.leader, limits: p.MaxRecordBytes, log: p.log, missing: p.conf.Missing,
		window: p.window, transactional: p.conf.TransactionalID != "", flying: map[int32]int{}}
	byKey := make(map[laneKey]*lane, len(batches))
	for i := range batches {
		b := &batches[i]
		if b.Len() == 0 {
			continue
		}
		k := laneKey{b.Topic, b.Partition}
		l := byKey[k]
		if l == nil {
			l = &lane{key: k, wrote: NoRecord, limit: min(p.conf.MaxBatchBytes, r.limits(b.Topic))}
			byKey[k] = l
			r.lanes = append(r.lanes, l)
		}
		l.rest = append(l.rest, b.all())
	}
	r.room = p.room(r.brokers())
	return r
}

// brokers counts those that lead the partitions, as far as it is known.
func (r *run) brokers() int {
	nodes := map[int32]bool{}
	for _, l := range r.lanes {
		if node, ok := r.leader(l.key); ok {
			nodes[node] = true
		}
	}
	return len(nodes)
}

func (r *run) finished() bool {
	for _, l := range r.lanes {
		if !l.done() {
			return false
		}
	}
	return true
}

// err is the first failed lane's.
func (r *run) err() error {
	for _, l := range r.lanes {
		if l.failed != nil {
			return l.failed
		}
	}
	return nil
}

// outcome is what became of a partition's lane: its last acknowledged record, and why it failed, nil if it did not.
func (r *run) outcome(k laneKey) (last RecordID, err error) {
	for _, l := range r.lanes {
		switch {
		case l.key != k:
		case l.failed != nil:
			return l.wrote, l.failed
		default:
			return l.wrote, nil
		}
	}
	return NoRecord, nil
}

// next gives the commands that can start now.
func (r *run) next(now time.Time) []command {
	if !r.seqs.known() {
		if r.asking || now.Before(r.initDue) {
			return nil
		}
		r.asking = true
		return []command{{kind: cmdInit}}
	}
	commands := r.refresh(now)
	for {
		sends := r.round(now)
		if len(sends) == 0 {
			return commands
		}
		commands = append(commands, sends...)
	}
}

// refresh asks for metadata where a lane does not know whom to send to. The answers of what is in flight are waited for.
func (r *run) refresh(now time.Time) []command {
	if r.refreshing {
		return nil
	}
	var lanes []*lane
	for _, l := range r.lanes {
		if _, ok := r.leader(l.key); l.idle(now) && l.flying == 0 && (l.stale || !ok) {
			l.asking = true
			lanes = append(lanes, l)
		}
	}
	if len(lanes) == 0 {
		return nil
	}
	r.refreshing = true
	return []command{{kind: cmdRefresh, lanes: lanes}}
}

// round gives a request for each broker that can take one, with the next batch of each lane that can send one.
func (r *run) round(now time.Time) []command {
	var sends []command
	at := map[int32]int{} // index in sends by broker
	for _, l := range r.lanes {
		node, ok := r.leader(l.key)
		if !ok || l.stale || !l.idle(now) || l.flying > 0 && node != l.node {
			continue
		}
		i, begun := at[node]
		if !begun && r.flying[node] == maxRequests {
			continue
		}
		b := r.sendable(l, now)
		if b == nil {
			continue
		}
		if begun && (sends[i].size+b.size > maxRequestBytes || sends[i].memory+b.memory > r.room) {
			continue
		}
		if !begun {
			i = len(sends)
			at[node], sends = i, append(sends, command{kind: cmdSend, node: node})
			r.flying[node]++
		}
		b.state = flying
		l.node, l.flying = node, l.flying+1
		sends[i].batches, sends[i].size, sends[i].memory = append(sends[i].batches, b), sends[i].size+b.size, sends[i].memory+b.memory
	}
	return sends
}

// wait is the time until next may have something new, when nothing else happens.
func (r *run) wait(now time.Time, flying int) time.Duration {
	wait := time.Hour
	if !r.seqs.known() && !r.asking {
		return max(r.initDue.Sub(now), 0)
	}
	for _, l := range r.lanes {
		if l.done() || l.asking || l.flying > 0 {
			continue
		}
		if d := l.due.Sub(now); d > 0 {
			wait = min(wait, d)
		} else if flying == 0 {
			wait = 0
		}
	}
	return wait
}

// expire gives up what is not done.
func (r *run) expire(cause error) {
	for _, l := range r.lanes {
		if !l.done() {
			r.fail(l, because(cause, l.cause))
		}
	}
}
