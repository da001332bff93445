package kafka

import (
	"fmt"

	"github.com/IBM/sarama"
)

// RightError says which right a user lacks, in the words of kafka-acls.sh. errors.As finds it wherever a broker has refused a
// request for the want of one. Grant it, and start again: nothing was done.
type RightError struct {
	Resource  string // Topic, Group, TransactionalID or Cluster
	Name      string // of the resource, empty for the cluster
	Operation string // Read, Write, Describe, Create, ...
	// Request is what needs it.
	Request string
	Cause   *Error
}

func (e *RightError) Error() string { return e.Cause.Error() }

// Unwrap gives the cause.
func (e *RightError) Unwrap() error { return e.Cause }

func (e *RightError) advice() string {
	if e.Operation == idempotentWrite {
		return "no right to Write on any topic, nor to IdempotentWrite on the cluster (kafka-acls.sh --add --operation Write --topic ...)"
	}
	on, flag := "the cluster", "cluster"
	switch e.Resource {
	case topicResource:
		on, flag = "topic "+e.Name, "topic "+e.Name
	case groupResource:
		on, flag = "group "+e.Name, "group "+e.Name
	case idResource:
		on, flag = "transactional id "+e.Name, "transactional-id "+e.Name
	}
	also := ""
	if e.Operation == "Describe" {
		also = "; Read and Write imply it"
	}
	return fmt.Sprintf("no right to %s on %s (kafka-acls.sh --add --operation %s --%s%s)", e.Operation, on, e.Operation, flag, also)
}

// Kinds of resources.
const (
	topicResource   = "Topic"
	groupResource   = "Group"
	idResource      = "TransactionalID"
	clusterResource = "Cluster"
)

// operation is what a request needs to be allowed on a kind of resource that it was refused. Where Kafka takes several, it
// is the one that tarn needs of that resource in any case.
func operation(resource, request string) string {
	switch request {
	case "Metadata", "ListOffsets", "OffsetFetch", "FindCoordinator", "DescribeGroups":
		return "Describe"
	case "DescribeConfigs":
		return "DescribeConfigs"
	case "CreateTopics":
		return "Create"
	case "DeleteTopics", "DeleteRecords", "DeleteGroups":
		return "Delete"
	case "Produce", "InitProducerID", "AddPartitionsToTxn", "EndTxn":
		if resource == clusterResource {
			return idempotentWrite
		}
		return "Write"
	case "AddOffsetsToTxn", "TxnOffsetCommit":
		if resource == idResource {
			return "Write"
		}
	}
	return "Read" // Fetch, OffsetCommit, and all that a member asks of its group
}

const idempotentWrite = "IdempotentWrite"

// right is the right that the code says is missing, nil where it says something else.
func (e *Error) right() *RightError {
	r := &RightError{Request: e.Request, Cause: e}
	switch sarama.KError(e.Code) {
	case sarama.ErrTopicAuthorizationFailed:
		r.Resource, r.Name = topicResource, e.Topic
	case sarama.ErrGroupAuthorizationFailed:
		r.Resource, r.Name = groupResource, e.Group
	case sarama.ErrTransactionalIDAuthorizationFailed:
		r.Resource, r.Name = idResource, e.TransactionalID
	case sarama.ErrClusterAuthorizationFailed:
		r.Resource = clusterResource
	default:
		return nil
	}
	r.Operation = operation(r.Resource, e.Request)
	return r
}

// As makes the codes of missing rights a *RightError.
func (e *Error) As(target any) bool {
	t, ok := target.(**RightError)
	if !ok {
		return false
	}
	r := e.right()
	if r != nil {
		*t = r
	}
	return r != nil
}

// in notes what a request was about, beside topics, in the *Error that came of it.
func (k coordKey) in(err error) error {
	e, ok := err.(*Error)
	switch {
	case !ok:
	case k.kind == sarama.CoordinatorGroup:
		e.Group = k.id
	default:
		e.TransactionalID = k.id
	}
	return err
}
