package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tarnstream/tarn/internal/scope"
)

// DeadLetter writes the record to a topic and goes on with the next one. The dead letter has the record's key, value and
// headers, and its time where the topic takes that, else the present; further headers, whose names begin with tarn.dead,
// say where it came from, why it could not be handled and how to handle it again. DeadLetterOf reads them.
//
// It is in Kafka before the offset that passes the record is committed: each such record becomes a dead letter at least
// once, and after a crash perhaps twice, under the same origin. It goes to the partition of the record's own number, modulo
// the number of partitions, so that dead letters of one partition keep their order.
//
// Where the topic is missing it is created, with as many partitions as the group's inputs, cleanup.policy=delete, room for
// the largest record of the inputs, and no limit of time or size (retention.ms=-1): dead letters wait until somebody has
// looked at them. options say otherwise. It must be no topic that the group reads or writes.
//
// A dead letter that the topic cannot take is shortened: first the stack of a panic goes, then most of the error's text,
// never anything of the record. Where that is not enough Run ends with a *processor.RecordError, as with Fail, whose cause is
// a *DeadLetterError.
func DeadLetter(topic string, options ...scope.TopicOption) ErrorPolicy {
	t := scope.Topic{Name: topic, Configs: map[string]string{"cleanup.policy": "delete", "retention.ms": "-1"}}
	for _, o := range options {
		o(&t)
	}
	p := scope.ErrorPolicy{Last: scope.DeadLetter, Letters: t}
	fault := func(format string, args ...any) {
		p.Faults = append(p.Faults, fmt.Sprintf("DeadLetter(%s): ", topic)+fmt.Sprintf(format, args...))
	}
	if reason := scope.NameFault(topic); reason != "" {
		fault("%s", reason)
	}
	if t.Partitions < 0 {
		fault("%d partitions", t.Partitions)
	}
	if t.Hash != scope.Murmur2 {
		fault("dead letters go by partition, not by a hash of their keys")
	}
	if policy := t.Configs["cleanup.policy"]; policy != "delete" {
		fault("cleanup.policy=%s: dead letters would replace each other", policy)
	}
	return ErrorPolicy{p}
}

// DeadLetterError says that a record could not be handled and does not fit into the topic of dead letters either.
// Raise the topic's max.message.bytes, or see to the record.
type DeadLetterError struct {
	Topic       string
	Size, Limit int // in bytes, with the shortest headers
	// Cause is why the record could not be handled.
	Cause error
}

func (e *DeadLetterError) Error() string {
	return fmt.Sprintf("policy: dead letter of %d bytes does not fit into topic %s, which takes %d; it is of: %v", e.Size, e.Topic, e.Limit, e.Cause)
}

// Unwrap gives the cause.
func (e *DeadLetterError) Unwrap() error { return e.Cause }

// Header is one record header.
type Header = scope.Header

// Letter is what the headers of a dead letter say.
type Letter struct {
	// Topic, Partition and Offset are the place of the record that could not be handled. Timestamp is its time; zero for a
	// record without one.
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time
	// Group is the group that could not handle it, after so many Attempts.
	Group    string
	Attempts int
	// Kind is the kind of error, KindDecode and so on. Error is its text and Stack that of a panic, both shortened.
	Kind, Error, Stack string
	// Headers are the record's own, not copied.
	Headers []Header
}

// The headers of a dead letter. Values are text.
const (
	prefix          = "tarn.dead."
	headerTopic     = prefix + "topic" // the first: what is before it is the record's own
	headerPartition = prefix + "partition"
	headerOffset    = prefix + "offset"
	headerTimestamp = prefix + "timestamp" // milliseconds since 1970, -1 for none
	headerGroup     = prefix + "group"
	headerAttempts  = prefix + "attempts"
	headerKind      = prefix + "kind"
	headerError     = prefix + "error"
	headerStack     = prefix + "stack"  // of a panic only
	headerReplay    = prefix + "replay" // for a human reader
)

// Bounds of what a dead letter has of an error, in bytes.
const (
	maxError = 4 << 10
	maxStack = 8 << 10
	minError = 128
)

// LetterBytes bounds what a dead letter is larger than its record.
const LetterBytes = 16 << 10

// Shorten takes away what a dead letter can do without, a step at a time; it is false when nothing is left to take.
func (l *Letter) Shorten() bool {
	switch {
	case l.Stack != "":
		l.Stack = ""
	case len(l.Error) > minError:
		l.Error = cut(l.Error, minError)
	default:
		return false
	}
	return true
}

// Encode gives the headers of a dead letter: the record's own and those that DeadLetterOf reads.
func (l *Letter) Encode() []Header {
	at := int64(scope.NoTimestamp)
	if !l.Timestamp.IsZero() {
		at = l.Timestamp.UnixMilli()
	}
	all := slices.Clip(slices.Clone(l.Headers))
	add := func(name, value string) { all = append(all, Header{Key: []byte(name), Value: []byte(value)}) }
	add(headerTopic, l.Topic)
	add(headerPartition, strconv.Itoa(int(l.Partition)))
	add(headerOffset, strconv.FormatInt(l.Offset, 10))
	add(headerTimestamp, strconv.FormatInt(at, 10))
	add(headerGroup, l.Group)
	add(headerAttempts, strconv.Itoa(l.Attempts))
	add(headerKind, l.Kind)
	add(headerError, cut(l.Error, maxError))
	if l.Stack != "" {
		add(headerStack, cut(l.Stack, maxStack))
	}
	add(headerReplay, fmt.Sprintf("write key, value and the first %d headers to %s", len(l.Headers), l.Topic))
	return all
}

// more stands where a text was cut off.
const more = "..."

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len(more)], "") + more
}

// DeadLetterOf reads the headers of a dead letter. To have its record handled again write it to Letter.Topic with
// Letter.Headers, key and value as they are. Headers that are not those of a dead letter are an error.
func DeadLetterOf(headers []Header) (Letter, error) {
	var l Letter
	at := len(headers) - 1
	for at >= 0 && string(headers[at].Key) != headerTopic {
		at--
	}
	if at < 0 {
		return l, fmt.Errorf("policy: no dead letter: there is no header %s", headerTopic)
	}
	l.Headers = headers[:at:at]
	said := map[string]string{}
	for _, h := range headers[at:] {
		said[string(h.Key)] = string(h.Value)
	}
	l.Topic, l.Group, l.Kind, l.Error, l.Stack = said[headerTopic], said[headerGroup], said[headerKind], said[headerError], said[headerStack]
	var err error
	number := func(name string, bits int) int64 {
		n, bad := strconv.ParseInt(said[name], 10, bits)
		if bad != nil && err == nil {
			err = fmt.Errorf("policy: no dead letter: header %s: %w", name, bad)
		}
		return n
	}
	l.Partition, l.Offset = int32(number(headerPartition, 32)), number(headerOffset, 64)
	l.Attempts = int(number(headerAttempts, 32))
	if millis := number(headerTimestamp, 64); millis != scope.NoTimestamp {
		l.Timestamp = time.UnixMilli(millis)
	}
	if err != nil {
		return Letter{}, err
	}
	return l, nil
}
