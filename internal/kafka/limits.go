package kafka

import "strconv"

// TopicLimits is what a topic takes, by its configs.
type TopicLimits struct {
	// RecordBytes is what EncodedSize of a record may be at most for the topic to take it uncompressed.
	RecordBytes int
	// Before and After are how far a record's time may lie in the past and in the future of the broker's clock, in
	// milliseconds; 0 is no bound.
	Before, After int64
}

// LimitsOf reads a topic's live configs. Brokers before 3.6 have one span for past and future; a topic whose records get
// the broker's time takes any.
func LimitsOf(configs map[string]string) TopicLimits {
	l := TopicLimits{RecordBytes: defaultRecordLimit}
	if n, err := strconv.Atoi(configs["max.message.bytes"]); err == nil && n > 0 {
		l.RecordBytes = n
	}
	if configs["message.timestamp.type"] == "LogAppendTime" {
		return l
	}
	either := span(configs["message.timestamp.difference.max.ms"])
	l.Before, l.After = span(configs["message.timestamp.before.max.ms"]), span(configs["message.timestamp.after.max.ms"])
	if l.Before == 0 {
		l.Before = either
	}
	if l.After == 0 {
		l.After = either
	}
	return l
}

// span is a config in milliseconds, 0 where it is none that binds: Kafka's default is the greatest number there is.
func span(config string) int64 {
	n, err := strconv.ParseInt(config, 10, 64)
	if err != nil || n < 0 || n > maxTimestamp {
		return 0
	}
	return max(1, n)
}
