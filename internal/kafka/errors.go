package kafka

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/IBM/sarama"
)

// Sentinels that membership and offset commits answer with; use errors.Is.
var (
	// ErrRebalanceInProgress: the group is forming a new generation; commit again under it.
	ErrRebalanceInProgress = errors.New("kafka: group is rebalancing")
	// ErrIllegalGeneration: the generation is not the group's current one; commit again under the session's next, if the claim still lives.
	ErrIllegalGeneration = errors.New("kafka: generation is not the group's current one")
	// ErrUnknownMember: the group does not know this member any more; its claims are lost and it joins anew.
	ErrUnknownMember = errors.New("kafka: the group does not know this member")
	// ErrFencedInstance: a newer process uses the same group.instance.id; final.
	ErrFencedInstance = errors.New("kafka: a newer process uses the same group instance id")
	// ErrClosed: the client, or the part of it that was asked, is closed.
	ErrClosed = errors.New("kafka: closed")
)

// Error is an error code of a broker with the request it answered. Where a right is missing it is also a *RightError to errors.As.
// Retriable tells whether the same request may succeed later.
type Error struct {
	Code      int16
	Request   string
	Topic     string // empty where the answer speaks of no topic
	Partition int32  // -1 where the answer speaks of no partition
	// Group and TransactionalID are what the request was about, empty for none.
	Group, TransactionalID string
	Detail                 string // the broker's own words, if any
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kafka: %s", e.Request)
	if e.Topic != "" {
		fmt.Fprintf(&b, " of %s", e.Topic)
		if e.Partition >= 0 {
			fmt.Fprintf(&b, "/%d", e.Partition)
		}
	}
	if right := e.right(); right != nil {
		fmt.Fprintf(&b, ": %s", right.advice())
	}
	fmt.Fprintf(&b, ": code %d: %s", e.Code, e.words())
	if e.Detail != "" {
		fmt.Fprintf(&b, " (%s)", e.Detail)
	}
	return b.String()
}

// words are what the code means, by sarama, which has none for PRODUCER_FENCED.
func (e *Error) words() string {
	if code := sarama.KError(e.Code); code != sarama.ErrProducerFenced {
		return strings.TrimPrefix(code.Error(), "kafka server: ")
	}
	return "a newer producer has the transactional id, or the coordinator has ended what was open"
}

// Is makes the membership codes match their sentinels.
func (e *Error) Is(target error) bool {
	switch sarama.KError(e.Code) {
	case sarama.ErrRebalanceInProgress:
		return target == ErrRebalanceInProgress
	case sarama.ErrIllegalGeneration:
		return target == ErrIllegalGeneration
	case sarama.ErrUnknownMemberId:
		return target == ErrUnknownMember
	case sarama.ErrFencedInstancedId:
		return target == ErrFencedInstance
	case sarama.ErrProducerFenced, sarama.ErrInvalidProducerEpoch:
		return target == ErrProducerFenced
	}
	return false
}

// Retriable tells whether asking again later, after fresh metadata, may succeed.
func (e *Error) Retriable() bool { return retriableCode(sarama.KError(e.Code)) }

func retriableCode(code sarama.KError) bool {
	switch code {
	case sarama.ErrUnknownTopicOrPartition, sarama.ErrLeaderNotAvailable, sarama.ErrNotLeaderForPartition,
		sarama.ErrRequestTimedOut, sarama.ErrBrokerNotAvailable, sarama.ErrReplicaNotAvailable, sarama.ErrNetworkException,
		sarama.ErrOffsetsLoadInProgress, sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrNotCoordinatorForConsumer,
		sarama.ErrNotEnoughReplicas, sarama.ErrNotEnoughReplicasAfterAppend, sarama.ErrNotController,
		sarama.ErrKafkaStorageError, sarama.ErrFencedLeaderEpoch, sarama.ErrUnknownLeaderEpoch, sarama.ErrOffsetNotAvailable,
		sarama.ErrPreferredLeaderNotAvailable, sarama.ErrUnstableOffsetCommit, sarama.ErrThrottlingQuotaExceeded,
		sarama.ErrFetchSessionIDNotFound, sarama.ErrInvalidFetchSessionEpoch, sarama.ErrConcurrentTransactions:
		return true
	case 100, 103, 106: // UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID, FETCH_SESSION_TOPIC_ID_ERROR: metadata is behind
		return true
	}
	return false
}

// codeError is nil for code 0.
func codeError(code sarama.KError, request, topic string, partition int32) error {
	if code == sarama.ErrNoError {
		return nil
	}
	return &Error{Code: int16(code), Request: request, Topic: topic, Partition: partition}
}

// UnreachableError says that no broker answered. It names every address tried and the last cause of each.
type UnreachableError struct {
	Addrs  []string
	Causes []error
}

func (e *UnreachableError) Error() string {
	parts := make([]string, len(e.Addrs))
	for i, a := range e.Addrs {
		parts[i] = fmt.Sprintf("%s (%v)", a, e.Causes[i])
	}
	return "kafka: no broker answers: " + strings.Join(parts, ", ")
}

// Unwrap gives the causes.
func (e *UnreachableError) Unwrap() []error { return e.Causes }

// VersionError says that a broker cannot do what tarn needs.
type VersionError struct {
	Addr      string
	Request   string
	Need, Has int16 // Has is -1 where the broker does not know the request at all
}

func (e *VersionError) Error() string {
	if e.Has < 0 {
		return fmt.Sprintf("kafka: broker %s does not offer %s, tarn needs version %d: use a newer broker", e.Addr, e.Request, e.Need)
	}
	return fmt.Sprintf("kafka: broker %s offers %s up to version %d, tarn needs %d: use a newer broker", e.Addr, e.Request, e.Has, e.Need)
}

// retriable tells whether err is worth another attempt: a retriable code or a transport error.
func retriable(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Retriable()
	}
	var u *UnreachableError
	if errors.As(err, &u) { // a wrong password or certificate stays wrong
		return slices.ContainsFunc(u.Causes, retriable)
	}
	return transport(err)
}

// transport tells whether err means that the connection is of no more use.
func transport(err error) bool {
	if err == nil {
		return false
	}
	var ne net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, sarama.ErrNotConnected) || errors.Is(err, sarama.ErrClosedClient) ||
		errors.As(err, &ne)
}
