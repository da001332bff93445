package topology

import (
	"time"

	"github.com/tarnstream/tarn/internal/scope"
)

// WithTimestamp gives the same context for writes with a time of their own: what is emitted, set or deleted through it
// gets at, to the millisecond, instead of the time of the record in hand. Kafka has times from 1970 on and tarn writes
// them up to 2262; a topic may take less, by its configs message.timestamp.before.max.ms and after.max.ms, the latter an
// hour by default since Kafka 4.0. Another time is a *TimestampError at the write. Timestamp still answers the record's.
func (c *Context) WithTimestamp(at time.Time) *Context {
	return &Context{Context: c.Context, frame: c.frame, at: at.UnixMilli(), dated: true}
}

// stamp gives the time of what is written. A record in hand without a time gives its effects the present.
func stamp(c *Context) int64 {
	at := c.frame.Record().Timestamp
	switch {
	case c.dated:
		return c.at
	case at == scope.NoTimestamp:
		return time.Now().UnixMilli()
	}
	return at
}
