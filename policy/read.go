package policy

import (
	"cmp"
	"fmt"
	"time"
)

// Staleness tells how current the part of a table is that a read answers from.
type Staleness struct {
	// Cause says why it is known not to be current: it is being read since the start, or rebuilt. It is empty otherwise.
	Cause string
	// Age is how long ago it was last seen to have all of its log. It is a second or two while all is well, and grows
	// while Kafka does not answer and while the log grows faster than it is read. Negative: never yet.
	Age time.Duration
}

// Read is a choice of one read of a View, or by processor.Get; several make one. Without any, a read answers unless there is
// a Cause against it, however great the Age: what a view shows while Kafka is away is right, only older.
type Read struct {
	bounded, allow bool
	most           time.Duration
	told           *Staleness
}

// AllowStale makes a read answer from a table that is known not to be current, as long as there is a whole one: from
// before the start or the reset. told, unless nil, is set to what the answer is worth, also where all is well.
func AllowStale(told *Staleness) Read { return Read{allow: true, told: told} }

// MaxAge makes a read answer only where the table was seen to be current within d. Less than a few seconds will now and
// then be refused while all is well, since Kafka is asked about twice a second.
func MaxAge(d time.Duration) Read { return Read{bounded: true, most: d} }

// Admit is for package processor: it tells the reads what the answer is worth, and whether there may be one.
func (s Staleness) Admit(reads ...Read) bool {
	ok := s.Cause == ""
	for _, r := range reads {
		ok = ok || r.allow
	}
	for _, r := range reads {
		ok = ok && !(r.bounded && (s.Age < 0 || s.Age > r.most))
		if r.told != nil {
			*r.told = s
		}
	}
	return ok
}

// Worse gives what an answer is worth that is read from both.
func (s Staleness) Worse(other Staleness) Staleness {
	out := Staleness{Cause: cmp.Or(s.Cause, other.Cause), Age: max(s.Age, other.Age)}
	if s.Age < 0 || other.Age < 0 {
		out.Age = -1
	}
	return out
}

// StaleError says that a read was not answered because of how old the table is. Read again later, or with AllowStale.
type StaleError struct {
	Table     string
	Partition int32
	Staleness
	// Err is processor.ErrNotReady while the table is being read since the start, else nil.
	Err error
}

func (e *StaleError) Error() string {
	age := fmt.Sprintf("it was last current %v ago", e.Age.Round(time.Millisecond))
	if e.Age < 0 {
		age = "it was not current yet"
	}
	if e.Cause != "" {
		age = e.Cause + "; " + age
	}
	return fmt.Sprintf("policy: %s/%d is stale: %s", e.Table, e.Partition, age)
}

func (e *StaleError) Unwrap() error { return e.Err }
