package kafka

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRightError: a refusal says, to a program and to an operator, which right is missing.
func TestRightError(t *testing.T) {
	for _, tt := range []struct {
		err       *Error
		want      RightError
		says      string
		elsewhere bool
	}{
		{err: &Error{Code: 29, Request: "Fetch", Topic: "t", Partition: 3}, want: RightError{Resource: "Topic", Name: "t", Operation: "Read"},
			says: "kafka: Fetch of t/3: no right to Read on topic t (kafka-acls.sh --add --operation Read --topic t)"},
		{err: &Error{Code: 29, Request: "Produce", Topic: "t"}, want: RightError{Resource: "Topic", Name: "t", Operation: "Write"}, says: "--operation Write --topic t)"},
		{err: &Error{Code: 29, Request: "Metadata", Topic: "t"}, want: RightError{Resource: "Topic", Name: "t", Operation: "Describe"}, says: "Read and Write imply it"},
		{err: &Error{Code: 29, Request: "TxnOffsetCommit", Topic: "t", TransactionalID: "x", Group: "g"}, want: RightError{Resource: "Topic", Name: "t", Operation: "Read"}, says: "topic t"},
		{err: &Error{Code: 30, Request: "TxnOffsetCommit", TransactionalID: "x", Group: "g"}, want: RightError{Resource: "Group", Name: "g", Operation: "Read"}, says: "--group g)"},
		{err: &Error{Code: 30, Request: "FindCoordinator", Group: "g"}, want: RightError{Resource: "Group", Name: "g", Operation: "Describe"}, says: "on group g"},
		{err: &Error{Code: 30, Request: "DeleteGroups", Group: "g"}, want: RightError{Resource: "Group", Name: "g", Operation: "Delete"}, says: "on group g"},
		{err: &Error{Code: 53, Request: "InitProducerID", TransactionalID: "x"}, want: RightError{Resource: "TransactionalID", Name: "x", Operation: "Write"}, says: "--transactional-id x)"},
		{err: &Error{Code: 53, Request: "TxnOffsetCommit", TransactionalID: "x", Group: "g"}, want: RightError{Resource: "TransactionalID", Name: "x", Operation: "Write"}, says: "transactional id x"},
		{err: &Error{Code: 31, Request: "InitProducerID"}, want: RightError{Resource: "Cluster", Operation: "IdempotentWrite"}, says: "--operation Write --topic"},
		{err: &Error{Code: 31, Request: "CreateTopics", Topic: "t"}, want: RightError{Resource: "Cluster", Operation: "Create"}, says: "--cluster)"},
		{err: &Error{Code: 3, Request: "Metadata", Topic: "t"}, elsewhere: true, says: "Metadata of t"},
	} {
		require.ErrorContains(t, tt.err, tt.says)
		right, ok := errors.AsType[*RightError](fmt.Errorf("somewhere: %w", tt.err))
		require.Equal(t, !tt.elsewhere, ok, "%v", tt.err)
		if ok {
			tt.want.Request, tt.want.Cause = tt.err.Request, tt.err
			require.Equal(t, &tt.want, right)
			require.Equal(t, tt.err.Error(), right.Error())
			require.ErrorIs(t, right, error(tt.err))
			require.False(t, retriable(tt.err))
		}
	}
}
