package kafka

import "github.com/IBM/sarama"

// txnVerdict is what an error code in the answer to a request of a transaction means for the transaction.
type txnVerdict int8

const (
	// txnDone: the request is carried out.
	txnDone txnVerdict = iota
	// txnAgain: nothing is wrong; the same request later, perhaps to another broker.
	txnAgain
	// txnRegenerate: the group has another generation; the offsets again under it, while the claim lives.
	txnRegenerate
	// txnRestart: the coordinator has ended this transaction, or forgotten the producer. The producer is recovered.
	txnRestart
	// txnFenced: another process, or the coordinator after the transaction's time-out, has taken a higher epoch. Whether
	// this process still has its tasks is for the group to say.
	txnFenced
	// txnMember: the group does not have this member any more.
	txnMember
	// txnElsewhere: this partition was not looked at, because of another one in the same request.
	txnElsewhere
	// txnFatal: asking again does not help, and no recovery does.
	txnFatal
)

// errTransactionAbortable is TRANSACTION_ABORTABLE (KIP-890), which sarama has no name for. Brokers answer it to newer versions of the
// requests than are asked.
const errTransactionAbortable sarama.KError = 120

// treatTxn is the table of codes for InitProducerID, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit and EndTxn (KIP-98, KIP-447;
// KIP-588 for the fencing ones). What Produce answers is in treat.
func treatTxn(code sarama.KError) txnVerdict {
	switch code {
	case sarama.ErrNoError:
		return txnDone
	case sarama.ErrConcurrentTransactions: // the markers of the last transaction are being written
		return txnAgain
	case sarama.ErrOffsetsLoadInProgress, sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrNotCoordinatorForConsumer: // the coordinator moves
		return txnAgain
	case sarama.ErrIllegalGeneration, sarama.ErrRebalanceInProgress:
		return txnRegenerate
	case sarama.ErrUnknownMemberId, sarama.ErrFencedInstancedId:
		return txnMember
	case sarama.ErrProducerFenced, sarama.ErrInvalidProducerEpoch: // brokers before 2.7 say the second for both
		return txnFenced
	case sarama.ErrInvalidTxnState, errTransactionAbortable: // it was aborted, by its time-out for one, or has to be
		return txnRestart
	case sarama.ErrInvalidProducerIDMapping, sarama.ErrUnknownProducerID: // idle for longer than transactional.id.expiration.ms
		return txnRestart
	case sarama.ErrOperationNotAttempted:
		return txnElsewhere
	case sarama.ErrTransactionalIDAuthorizationFailed, sarama.ErrGroupAuthorizationFailed, sarama.ErrTopicAuthorizationFailed,
		sarama.ErrClusterAuthorizationFailed: // a right is missing
		return txnFatal
	case sarama.ErrInvalidTransactionTimeout, sarama.ErrInvalidRequest, sarama.ErrUnsupportedVersion, sarama.ErrOffsetMetadataTooLarge: // ours
		return txnFatal
	}
	if retriableCode(code) { // leaders and logs in motion; UNKNOWN_TOPIC_OR_PARTITION is bounded by the caller
		return txnAgain
	}
	return txnFatal
}
