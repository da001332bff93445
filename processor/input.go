package processor

import (
	"sync/atomic"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// input is one partition of an input topic as a task reads it. position is the next offset to handle: what a commit
// names.
type input struct {
	topic    string
	id       state.TopicID // of the topic that position speaks of, zero where it is not known
	begin    scope.Begin
	lost     scope.Lost
	loop     bool
	call     func(*scope.Frame) error
	onDelete func(*scope.Frame) error // nil: null values are skipped
	onError  *scope.ErrorPolicy
	cursor   *kafka.Cursor
	position int64
	sealed   int64 // position at the last seal, or where the task began
	refused  int   // how often in a row position was refused, without an answer in between

	// committed is what the group has in Kafka, nil where that is not known. The committer moves it.
	committed atomic.Pointer[mark]
	trimmed   mark // the log start that was asked for; the trimmer's

	check *hashCheck // nil once it is done

	records, bytes int64 // handled; the task's
	// shown is what Stats tells of them, as of the last publish.
	shown struct{ records, bytes, position atomic.Int64 }

	chunk   state.Records
	at      int
	scratch []scope.Header
	coming  [scope.Ahead][]byte
}

// mark is a position in the topic of that id.
type mark struct {
	topic    state.TopicID
	position int64
}

// fill takes the next chunk when the last one is used up. moved tells that the position went on without a record:
// past markers, aborted or compacted records.
func (in *input) fill() (moved bool, err error) {
	for !in.more() {
		chunk, ok, err := in.cursor.Poll()
		if err != nil || !ok {
			return moved, err
		}
		in.chunk, in.at, in.refused = chunk, 0, 0
		if in.check != nil {
			in.check = in.check.look(chunk.Records)
		}
		if !in.more() {
			moved = moved || chunk.Next > in.position
			in.position = chunk.Next
		}
	}
	return moved, nil
}

func (in *input) more() bool { return in.at < len(in.chunk.Records) }

func (in *input) peek() *state.Record { return &in.chunk.Records[in.at] }

// ahead gives the keys of the record in hand and of those behind it.
func (in *input) ahead() [][]byte {
	rest := in.chunk.Records[in.at:]
	keys := in.coming[:min(len(rest), len(in.coming))]
	for i := range keys {
		keys[i] = rest[i].Key
	}
	return keys
}

// done moves past the record in hand.
func (in *input) done() {
	r := in.peek()
	in.records++
	in.bytes += int64(len(r.Key) + len(r.Value))
	in.position = r.Next()
	in.at++
	if !in.more() {
		in.position = in.chunk.Next
		in.cursor.Recycle(in.chunk.Records)
		in.chunk.Records = nil
		clear(in.coming[:]) // they would keep all of it
	}
}

func (in *input) headers(r *state.Record) []scope.Header {
	in.scratch = in.scratch[:0]
	for _, h := range r.Headers {
		in.scratch = append(in.scratch, scope.Header(h))
	}
	return in.scratch
}
