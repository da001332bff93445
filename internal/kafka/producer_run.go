package kafka

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/IBM/sarama"
)

// maxRequestBytes bounds one Produce request: brokers and sarama refuse 100 MiB.
const maxRequestBytes = 16 << 20

// lane is one partition in a Produce call. While a command holds it (flying) nobody else touches it.
type lane struct {
	key   laneKey
	rest  [][]OutRecord // not acknowledged, in order; rest[0][:n] is the batch in hand
	limit int           // bytes a batch
	n     int           // records of the batch in hand, 0 before it is cut
	size  int           // its bytes
	stamp stamp
	// uncertain: the batch in hand may be in the log. It is then sent again as it is or not at all.
	uncertain bool
	stale     bool // the leader has to be asked afresh
	flying    bool
	due       time.Time
	backoff   time.Duration
	cause     error   // why the last attempt failed
	gone      absence // of the topic
	failed    *ProduceError
	arena     *arena
}

func (l *lane) done() bool { return l.failed != nil || len(l.rest) == 0 }

// command is what the shell has to do: ask for a producer id, for fresh metadata, or send a Produce request.
type command struct {
	kind  commandKind
	node  int32
	lanes []*lane
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
	reuse  *[]*arena
	// missing is how long a topic is waited for.
	missing time.Duration

	busy       map[int32]bool // brokers with a request in flight
	asking     bool           // InitProducerID is in flight
	refreshing bool
	initDue    time.Time
	initWait   time.Duration
}

func newRun(p *Producer, batches []OutBatch) *run {
	r := &run{seqs: &p.seqs, leader: p.leader, limits: p.MaxRecordBytes, log: p.log, reuse: &p.free, missing: p.conf.Missing, busy: map[int32]bool{}}
	byKey := make(map[laneKey]*lane, len(batches))
	for _, b := range batches {
		if len(b.Records) == 0 {
			continue
		}
		k := laneKey{b.Topic, b.Partition}
		l := byKey[k]
		if l == nil {
			l = &lane{key: k, limit: min(p.conf.MaxBatchBytes, r.limits(b.Topic)), arena: r.takeArena()}
			byKey[k] = l
			r.lanes = append(r.lanes, l)
		}
		l.rest = append(l.rest, b.Records)
	}
	return r
}

func (r *run) takeArena() *arena {
	free := *r.reuse
	if len(free) == 0 {
		return &arena{}
	}
	a := free[len(free)-1]
	*r.reuse = free[:len(free)-1]
	return a
}

// maxFree bounds the arenas kept between calls; each holds as many records as its greatest batch.
const maxFree = 32

// close gives the arenas back.
func (r *run) close() {
	for _, l := range r.lanes {
		l.arena.clear()
		if len(*r.reuse) < maxFree {
			*r.reuse = append(*r.reuse, l.arena)
		}
	}
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

// next gives the commands that can start now. Each lane is in one command at most.
func (r *run) next(now time.Time) []command {
	if !r.seqs.known() {
		if r.asking || now.Before(r.initDue) {
			return nil
		}
		r.asking = true
		return []command{{kind: cmdInit}}
	}
	var refresh []*lane
	var sends []command
	at := map[int32]int{} // index in sends by broker
	for _, l := range r.lanes {
		if l.done() || l.flying || now.Before(l.due) {
			continue
		}
		node, ok := r.leader(l.key)
		if l.stale || !ok {
			refresh = append(refresh, l)
			continue
		}
		if r.busy[node] || !r.prepare(l) {
			continue
		}
		i, ok := at[node]
		if !ok {
			i = len(sends)
			at[node], sends = i, append(sends, command{kind: cmdSend, node: node})
		}
		if c := &sends[i]; len(c.lanes) == 0 || load(c.lanes)+l.size <= maxRequestBytes {
			c.lanes = append(c.lanes, l)
		}
	}
	if len(refresh) > 0 && !r.refreshing {
		r.refreshing = true
		sends = append(sends, command{kind: cmdRefresh, lanes: refresh})
	}
	for _, c := range sends {
		if c.kind == cmdSend {
			r.busy[c.node] = true
		}
		for _, l := range c.lanes {
			l.flying = true
		}
	}
	return sends
}

func load(lanes []*lane) (sum int) {
	for _, l := range lanes {
		sum += l.size
	}
	return sum
}

// prepare cuts and stamps the lane's next batch. It is false when the lane failed by it or the producer id was given up.
func (r *run) prepare(l *lane) bool {
	if l.uncertain {
		return true
	}
	if l.n == 0 {
		l.n, l.size = cut(l.rest[0], l.limit)
		for i := range l.rest[0][:l.n] {
			if t := l.rest[0][i].Timestamp; t < 0 || t > maxTimestamp {
				r.fail(l, &Error{Code: int16(sarama.ErrInvalidTimestamp), Request: "Produce", Topic: l.key.topic, Partition: l.key.partition,
					Detail: fmt.Sprintf("timestamp %d ms is not in the years 1970 to 2262", t)})
				return false
			}
		}
	}
	l.stamp = r.seqs.stamp(l.key)
	return r.seqs.known()
}

// wait is the time until next may have something new, when nothing else happens.
func (r *run) wait(now time.Time, flying int) time.Duration {
	wait := time.Hour
	if !r.seqs.known() && !r.asking {
		return max(r.initDue.Sub(now), 0)
	}
	for _, l := range r.lanes {
		if l.done() || l.flying {
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
		switch {
		case l.done():
		case l.cause != nil:
			r.fail(l, fmt.Errorf("%w: last: %w", cause, l.cause))
		default:
			r.fail(l, cause)
		}
	}
}

func (r *run) fail(l *lane, cause error) {
	l.failed = &ProduceError{Topic: l.key.topic, Partition: l.key.partition, Unknown: l.uncertain, Cause: cause}
	if l.uncertain {
		r.seqs.abandon(l.key, l.stamp)
	}
}
