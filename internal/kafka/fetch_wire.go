package kafka

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/IBM/sarama"
)

// fetchRequest is a Fetch request, version 12 (protocol guide), outside of any session.
type fetchRequest struct {
	maxWait   time.Duration
	bytes     int32
	committed bool // no records of transactions that are open
	asks      []partAsk
	logs      *spare[byte] // for parts of the answer; nil for none
}

// partOf names a partition.
type partOf struct {
	topic     string
	partition int32
}

// partAsk asks for a partition from a position on. epoch is the leader's as the asking one knows it, negative for not at all.
type partAsk struct {
	partOf
	position int64
	epoch    int32
	bytes    int32
}

const (
	fetchKey     = 1
	fetchVersion = 12
	noTags       = 0
)

// appendTo appends the request as it is sent. Topics come in the order in which they are asked for, and so do a topic's
// partitions: a broker fills its answer in that order.
func (r *fetchRequest) appendTo(b []byte, id int32, client string) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0) // the size
	b = binary.BigEndian.AppendUint16(b, fetchKey)
	b = binary.BigEndian.AppendUint16(b, fetchVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	b = binary.BigEndian.AppendUint16(b, uint16(len(client)))
	b = append(append(b, client...), noTags)

	b = appendInt32s(b, -1, int32(r.maxWait.Milliseconds()), 1, r.bytes) // no replica; how long for how much at least and at most
	isolation := byte(sarama.ReadUncommitted)
	if r.committed {
		isolation = byte(sarama.ReadCommitted)
	}
	b = append(b, isolation)
	b = appendInt32s(b, 0, -1) // no session

	topics := map[string][]partAsk{}
	var names []string
	for _, a := range r.asks {
		if topics[a.topic] == nil {
			names = append(names, a.topic)
		}
		topics[a.topic] = append(topics[a.topic], a)
	}
	b = appendCount(b, len(names))
	for _, name := range names {
		b = append(appendCount(b, len(name)), name...)
		b = appendCount(b, len(topics[name]))
		for _, a := range topics[name] {
			b = appendInt32s(b, a.partition, a.epoch)
			b = binary.BigEndian.AppendUint64(b, uint64(a.position))
			b = appendInt32s(b, -1) // the epoch of what was fetched last
			b = binary.BigEndian.AppendUint64(b, ^uint64(0))
			b = append(appendInt32s(b, a.bytes), noTags)
		}
		b = append(b, noTags)
	}
	b = appendCount(b, 0)                 // no partitions to forget
	b = append(appendCount(b, 0), noTags) // no rack
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

func appendInt32s(b []byte, all ...int32) []byte {
	for _, v := range all {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// appendCount appends the length of what is compact: one more, since 0 is null.
func appendCount(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)+1) }

// fetched is the answer to a Fetch.
type fetched struct {
	code     sarama.KError
	throttle time.Duration // how long to wait with the next (KIP-219)
	parts    map[partOf]*part
}

// part is what an answer has of a partition.
type part struct {
	code    sarama.KError
	ends    logEnds
	aborted []abortedTxn
	log     []byte // batches as the log has them, the last of which may be incomplete; the part's own
}

// abortedTxn is a transaction that was aborted and has records in a part.
type abortedTxn struct{ producer, first int64 }

// fetch asks a broker.
func (c *Client) fetch(ctx context.Context, node int32, u use, r *fetchRequest) (res *fetched, sent bool, err error) {
	err = c.onWire(ctx, node, u, func(w *wire) error {
		sent = true
		res, err = w.fetch(c.conf, r)
		return err
	})
	return res, sent, err
}

// errAnswer is the cause where an answer is not what the protocol says.
var errAnswer = errors.New("kafka: a Fetch answer is malformed")

// readFetched reads an answer behind its head.
func readFetched(in *answerReader, logs *spare[byte]) (*fetched, error) {
	f := &fetched{throttle: time.Duration(in.int32()) * time.Millisecond, code: sarama.KError(in.int16()), parts: map[partOf]*part{}}
	in.int32() // the session
	for range in.count() {
		topic := string(in.bytes(in.count()))
		if in.err != nil {
			return nil, in.err
		}
		for range in.count() {
			of := partOf{topic, in.int32()}
			f.parts[of] = in.part(logs)
			if in.err != nil {
				return nil, in.err
			}
		}
		in.tags()
	}
	in.tags()
	if in.err == nil && in.left != 0 {
		in.err = errAnswer
	}
	if in.err != nil {
		return nil, in.err
	}
	return f, nil
}

// answerReader reads an answer field by field. The first error stays, and what is read after it is zero.
type answerReader struct {
	from *bufio.Reader
	left int
	err  error
	buf  [8]byte
}

func (in *answerReader) part(logs *spare[byte]) *part {
	p := &part{code: sarama.KError(in.int16())}
	p.ends.end, p.ends.stable, p.ends.start = in.int64(), in.int64(), in.int64()
	for range in.count() {
		p.aborted = append(p.aborted, abortedTxn{in.int64(), in.int64()})
		in.tags()
		if in.err != nil {
			return p
		}
	}
	in.int32() // a replica that is nearer
	if n := in.count(); n > 0 {
		p.log = logs.take(n)[:n]
		in.fill(p.log)
	}
	in.tags()
	return p
}

// has tells whether the answer goes on for n bytes. Where it does not it is malformed.
func (in *answerReader) has(n int) bool {
	if in.err == nil && n > in.left {
		in.err = errAnswer
	}
	return in.err == nil
}

// fill reads as many bytes as it is given.
func (in *answerReader) fill(out []byte) {
	if !in.has(len(out)) {
		clear(out)
		return
	}
	_, in.err = io.ReadFull(in.from, out)
	in.left -= len(out)
}

func (in *answerReader) int16() int16 {
	in.fill(in.buf[:2])
	return int16(binary.BigEndian.Uint16(in.buf[:]))
}
func (in *answerReader) int32() int32 {
	in.fill(in.buf[:4])
	return int32(binary.BigEndian.Uint32(in.buf[:]))
}
func (in *answerReader) int64() int64 {
	in.fill(in.buf[:8])
	return int64(binary.BigEndian.Uint64(in.buf[:]))
}

// bytes are a piece of its own.
func (in *answerReader) bytes(n int) []byte {
	if !in.has(n) || n == 0 {
		return nil
	}
	out := make([]byte, n)
	in.fill(out)
	return out
}

// uvarint reads a number of 31 bits: no length is greater.
func (in *answerReader) uvarint() int {
	v := uint64(0)
	for shift := 0; shift < 35; shift += 7 {
		in.fill(in.buf[:1])
		v |= uint64(in.buf[0]&0x7f) << shift
		if in.buf[0] < 0x80 && v <= math.MaxInt32 {
			return int(v)
		}
	}
	if in.err == nil {
		in.err = errAnswer
	}
	return 0
}

// count is the length of what is compact, 0 for null. What there is of it takes a byte at least.
func (in *answerReader) count() int {
	n := max(in.uvarint()-1, 0)
	if !in.has(n) {
		return 0
	}
	return n
}

// tags passes fields that are not asked for.
func (in *answerReader) tags() {
	for range in.uvarint() {
		in.uvarint()
		in.skip(in.uvarint())
		if in.err != nil {
			return
		}
	}
}

func (in *answerReader) skip(n int) {
	if !in.has(n) {
		return
	}
	_, in.err = in.from.Discard(n)
	in.left -= n
}

// fetch sends a request and reads its answer. Nothing else is under way on the connection.
func (w *wire) fetch(conf *sarama.Config, r *fetchRequest) (*fetched, error) {
	s := w.stream()
	w.asked++
	if err := s.SetDeadline(time.Now().Add(conf.Net.WriteTimeout)); err != nil {
		return nil, err
	}
	if _, err := s.Write(r.appendTo(nil, w.asked, conf.ClientID)); err != nil {
		return nil, err
	}
	if err := s.SetDeadline(time.Now().Add(conf.Net.ReadTimeout + r.maxWait)); err != nil {
		return nil, err
	}
	if w.reader == nil {
		w.reader = bufio.NewReaderSize(s, readerBytes)
	}
	in := &answerReader{from: w.reader, left: 4}
	size := in.int32()
	in.left = int(size)
	if most := sarama.MaxResponseSize; in.err == nil && (size < 0 || size > most) {
		return nil, fmt.Errorf("kafka: an answer of %d bytes: %w", size, errAnswer)
	}
	id := in.int32()
	in.tags()
	if in.err == nil && id != w.asked {
		return nil, fmt.Errorf("kafka: an answer to request %d, asked was %d: %w", id, w.asked, errAnswer)
	}
	if in.err != nil {
		return nil, in.err
	}
	res, err := readFetched(in, r.logs)
	if err != nil {
		return nil, err
	}
	return res, s.SetDeadline(time.Time{})
}

// readerBytes is as little as makes heads of parts cheap to read: parts pass by it.
const readerBytes = 4 << 10
