package kafka

import "github.com/IBM/sarama"

// verdict is what a partition's code in a Produce answer means for its batch.
type verdict int8

const (
	// acked: in the log.
	acked verdict = iota
	// again: not in the log by this attempt; the same later.
	again
	// perhaps: may be in the log; the very same later.
	perhaps
	// split: not in the log, too large; half of it later.
	split
	// bump: not in the log by this attempt, the broker does not know our sequence; a new epoch.
	bump
	// renew: not in the log by this attempt, the broker knows a higher epoch of our id; a new id.
	renew
	// there: in the log by an earlier attempt, at an offset the broker has forgotten.
	there
	// refused: not in the log by this attempt, and it will not change.
	refused
	// lost: may be in the log, and asking again is of no use.
	lost
)

// treat is the table of codes. Where Kafka may answer with a code both before and after the append (a delayed
// Produce whose partition lost its leader ends with NOT_LEADER_OR_FOLLOWER), the outcome counts as unknown.
func treat(code sarama.KError) verdict {
	switch code {
	case sarama.ErrNoError:
		return acked
	case sarama.ErrNotEnoughReplicas, sarama.ErrThrottlingQuotaExceeded, sarama.ErrInvalidMessage, sarama.ErrLeaderNotAvailable:
		return again
	case sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge:
		return split
	case sarama.ErrOutOfOrderSequenceNumber, sarama.ErrUnknownProducerID:
		return bump
	case sarama.ErrInvalidProducerEpoch, sarama.ErrInvalidProducerIDMapping:
		return renew
	case sarama.ErrDuplicateSequenceNumber:
		return there
	case sarama.ErrInvalidTopic, sarama.ErrInvalidRequiredAcks, sarama.ErrTopicAuthorizationFailed, sarama.ErrClusterAuthorizationFailed,
		sarama.ErrTransactionalIDAuthorizationFailed, sarama.ErrInvalidTimestamp, sarama.ErrUnsupportedForMessageFormat,
		sarama.ErrUnsupportedVersion, sarama.ErrInvalidRequest, sarama.ErrInvalidConfig, sarama.ErrPolicyViolation,
		sarama.ErrUnsupportedCompressionType, sarama.ErrInvalidRecord, sarama.ErrInvalidTxnState, sarama.ErrProducerFenced:
		return refused
	}
	if retriableCode(code) {
		return perhaps
	}
	return lost
}

// doubt is a verdict where an attempt at the same batch may be in the log: then numbers can be given up no more.
func doubt(v verdict) verdict {
	switch v {
	case bump, renew, refused:
		return lost
	}
	return v
}

// stale tells whether the code says that another broker leads the partition, or may.
func stale(code sarama.KError) bool {
	switch code {
	case sarama.ErrNotEnoughReplicas, sarama.ErrNotEnoughReplicasAfterAppend, sarama.ErrThrottlingQuotaExceeded, sarama.ErrInvalidMessage:
		return false
	}
	return retriableCode(code)
}
