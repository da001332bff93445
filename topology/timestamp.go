package topology

import (
	"math"
	"time"

	"github.com/tarnstream/tarn/internal/scope"
)

// WithTimestamp gives the same context for writes with a time of their own: what is emitted, set or deleted through it
// gets at, to the millisecond, instead of the time of the record in hand. Kafka has times from 1970 on and tarn writes
// them up to 2262; another time is a *TimestampError at the write. Timestamp still answers the record's.
func (c *Context) WithTimestamp(at time.Time) *Context {
	return &Context{Context: c.Context, frame: c.frame, at: at.UnixMilli(), dated: true}
}

// latest is the last time that can be written, in milliseconds: what lies behind it does not fit into nanoseconds, and
// would reach the topic as some other time.
const latest = math.MaxInt64 / int64(time.Millisecond)

// noTimestamp is Kafka's mark for a record without a time.
const noTimestamp = -1

// stamp gives the time of what is written to a topic. A record in hand without a time gives its effects the present.
func stamp[K string | []byte](c *Context, t *scope.Topic, key K) (int64, error) {
	at := c.frame.Record().Timestamp
	if c.dated {
		at = c.at
	} else if at == noTimestamp {
		at = time.Now().UnixMilli()
	}
	if at < 0 || at > latest {
		return 0, &TimestampError{Topic: t.Name, Key: string(key), Timestamp: at}
	}
	return at, nil
}
