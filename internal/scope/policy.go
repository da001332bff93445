package scope

import (
	"fmt"
	"maps"
	"time"
)

// InputOption says how an Input treats its records. What is wrong with the option goes to the Input's Faults.
type InputOption func(*Input)

// Action is what is done about a record that cannot be handled.
type Action string

// The actions.
const (
	Fail       Action = "fail"
	Skip       Action = "skip"
	Retry      Action = "retry"
	DeadLetter Action = "dead letter"
)

// ErrorPolicy is what happens to records that cannot be handled. The zero value fails.
type ErrorPolicy struct {
	// Backoff, where not nil, comes first.
	Backoff *Backoff
	// Last is what is done when there is no further attempt: Fail, Skip or DeadLetter; empty means Fail.
	Last Action
	// Letters is the topic of dead letters.
	Letters Topic
	// Faults are what is wrong with the policy.
	Faults []string
}

// Backoff bounds the attempts at one record.
type Backoff struct {
	Attempts   int // the first included
	First, Max time.Duration
	If         func(error) bool // nil: every error
}

// Decide tells what to do about a record that failed for the attempt-th time, which counts from 1, and how long to wait
// before a Retry.
func (p *ErrorPolicy) Decide(attempt int, err error) (Action, time.Duration) {
	switch b := p.Backoff; {
	case b != nil && attempt < b.Attempts && (b.If == nil || b.If(err)):
		return Retry, b.wait(attempt)
	case p.Last == "":
		return Fail, 0
	}
	return p.Last, 0
}

// wait doubles with each attempt, up to Max.
func (b *Backoff) wait(attempt int) time.Duration {
	d := b.First
	for range attempt - 1 {
		if d > b.Max/2 {
			return b.Max
		}
		d *= 2
	}
	return min(d, b.Max)
}

// LetterFault tells why a policy's dead letters cannot go where it says, "" where they can or there are none.
func (g *Group) LetterFault(p *ErrorPolicy) string {
	if p.Last != DeadLetter {
		return ""
	}
	is := ""
	look := func(t *Topic, what string) {
		if t.Name == p.Letters.Name {
			is = what
		}
	}
	for i := range g.Outputs {
		look(&g.Outputs[i].Topic, "an output")
	}
	for i := range g.Inputs {
		look(&g.Inputs[i].Topic, "an input")
	}
	for i := range g.Tables {
		look(&g.Tables[i].Topic, "a table")
	}
	for i := range g.Reads {
		look(&g.Reads[i].Topic, "a table")
	}
	if is == "" {
		return ""
	}
	return fmt.Sprintf("dead letters cannot go to %s, which is %s of the group", p.Letters.Name, is)
}

// Same tells whether two descriptions would make the same topic.
func (t Topic) Same(o Topic) bool {
	return t.Name == o.Name && t.Partitions == o.Partitions && t.Replication == o.Replication && maps.Equal(t.Configs, o.Configs)
}
