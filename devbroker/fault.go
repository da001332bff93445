package devbroker

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Request is a kind of request of Kafka's protocol. The zero value stands for every kind.
type Request int16

// The kinds of request that faults name; any other is RequestOf its api key.
const (
	AnyRequest         Request = 0
	Produce            Request = Request(kmsg.Produce) + 1
	Fetch              Request = Request(kmsg.Fetch) + 1
	ListOffsets        Request = Request(kmsg.ListOffsets) + 1
	Metadata           Request = Request(kmsg.Metadata) + 1
	OffsetCommit       Request = Request(kmsg.OffsetCommit) + 1
	OffsetFetch        Request = Request(kmsg.OffsetFetch) + 1
	FindCoordinator    Request = Request(kmsg.FindCoordinator) + 1
	JoinGroup          Request = Request(kmsg.JoinGroup) + 1
	Heartbeat          Request = Request(kmsg.Heartbeat) + 1
	LeaveGroup         Request = Request(kmsg.LeaveGroup) + 1
	SyncGroup          Request = Request(kmsg.SyncGroup) + 1
	APIVersions        Request = Request(kmsg.ApiVersions) + 1
	CreateTopics       Request = Request(kmsg.CreateTopics) + 1
	InitProducerID     Request = Request(kmsg.InitProducerID) + 1
	AddPartitionsToTxn Request = Request(kmsg.AddPartitionsToTxn) + 1
	AddOffsetsToTxn    Request = Request(kmsg.AddOffsetsToTxn) + 1
	EndTxn             Request = Request(kmsg.EndTxn) + 1
	TxnOffsetCommit    Request = Request(kmsg.TxnOffsetCommit) + 1
	DescribeConfigs    Request = Request(kmsg.DescribeConfigs) + 1
	DescribeGroups     Request = Request(kmsg.DescribeGroups) + 1
)

// RequestOf names the kind of request with an api key of Kafka's protocol.
func RequestOf(apiKey int16) Request { return Request(apiKey) + 1 }

func (r Request) key() int16 { return int16(r) - 1 }

// String is the name of the request in Kafka's protocol.
func (r Request) String() string {
	if r == AnyRequest {
		return "any request"
	}
	return kmsg.NameForKey(r.key())
}

// A Code is an error code of Kafka's protocol; any number may be converted to one.
type Code int16

// Codes by the names that tests use for them.
const (
	UnknownServerError      Code = -1
	OutOfRange              Code = 1
	CorruptMessage          Code = 2
	UnknownTopic            Code = 3
	LeaderNotAvailable      Code = 5
	NotLeader               Code = 6
	Timeout                 Code = 7
	MessageTooLarge         Code = 10
	CoordinatorLoading      Code = 14
	CoordinatorNotAvailable Code = 15
	NotCoordinator          Code = 16
	IllegalGeneration       Code = 22
	UnknownMemberID         Code = 25
	RebalanceInProgress     Code = 27
	TopicExists             Code = 36
	OutOfOrderSequence      Code = 45
	InvalidProducerEpoch    Code = 47
	InvalidTxnState         Code = 48
	ConcurrentTransactions  Code = 51
	StorageError            Code = 56
	LeaderEpochFenced       Code = 74
	UnknownLeaderEpoch      Code = 75
	OffsetNotAvailable      Code = 78
	FencedInstanceID        Code = 82
	UnstableOffsetCommit    Code = 88
	ProducerFenced          Code = 90
	UnknownTopicID          Code = 100
)

// String is Kafka's name of the code.
func (c Code) String() string {
	e := kerr.TypedErrorForCode(int16(c))
	switch {
	case e == nil:
		return "NONE"
	case e.Code != int16(c):
		return strconv.Itoa(int(c))
	}
	return e.Message
}

// An Error is a refusal by the broker.
type Error struct {
	Op        string
	Topic     string // "" where no topic is meant
	Partition int32  // -1 where no partition is meant
	Code      Code
}

func (e *Error) Error() string {
	where := ""
	if e.Topic != "" {
		where = " " + e.Topic
	}
	if e.Partition >= 0 {
		where += "/" + strconv.Itoa(int(e.Partition))
	}
	return fmt.Sprintf("devbroker: %s%s: %s", e.Op, where, e.Code)
}

func codeError(op string, c Code) error {
	if c == 0 {
		return nil
	}
	return &Error{Op: op, Partition: -1, Code: c}
}

// A Fault answers requests with an error code in place of the work. Only what all fields select is hit: of a fetch for
// several partitions, say, the selected ones. What a request does not carry never matches: a fault with a Topic hits no
// heartbeat.
//
// Timeout on Produce, OffsetCommit and TxnOffsetCommit is answered after the work is done, as a real broker may.
type Fault struct {
	Request    Request // zero: every kind
	Topic      string  // "": every topic
	Partitions []int32 // none: every partition
	Group      string  // "": every group
	Nodes      []int32 // none: every node
	TopLevel   bool    // set the answer's own error code in place of those of its parts, where it has one
	Err        Code    // zero: UnknownServerError
	Count      int     // how many requests are hit; 0 means one, -1 every one until Remove
}

// A FaultHandle watches and removes a fault.
type FaultHandle struct{ h *kfake.FaultHandle }

// Fail installs a fault. Of several that match a request the first installed is answered. Reload removes all.
func (b *Broker) Fail(f Fault) *FaultHandle {
	kf := kfake.Fault{
		Topic: f.Topic, Partitions: f.Partitions, Group: f.Group, Nodes: f.Nodes, TopLevel: f.TopLevel, Count: f.Count,
		Err:  faultError(f.Err),
		When: func(req kmsg.Request) bool { return !isInner(req) },
	}
	if f.Request != AnyRequest {
		kf.Keys = []kmsg.Key{kmsg.Key(f.Request.key())}
	}
	b.mu.RLock() // Fault may be called on a closed cluster too
	defer b.mu.RUnlock()
	return &FaultHandle{b.cluster.Fault(kf)}
}

// faultError gives the cluster's own value of a code, by which it knows the time-outs, or a value for a code it lacks.
func faultError(c Code) *kerr.Error {
	if c == 0 {
		return kerr.UnknownServerError
	}
	if e := kerr.TypedErrorForCode(int16(c)); e != nil && e.Code == int16(c) {
		return e
	}
	return &kerr.Error{Message: strconv.Itoa(int(c)), Code: int16(c)}
}

// Hits is how many requests the fault has answered.
func (f *FaultHandle) Hits() int { return f.h.Hits() }

// Wait waits until the fault has answered n requests, or for the end of ctx, whose error it then returns.
func (f *FaultHandle) Wait(ctx context.Context, n int) error { return f.h.Wait(ctx, n) }

// Remove ends the fault. Further calls do nothing.
func (f *FaultHandle) Remove() { f.h.Remove() }
