package observe

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// RestoreStats is how far a restore has come.
type RestoreStats struct {
	// Decision is the plan's, Cause its reason; "" before there is one.
	Decision, Cause string
	// From is where reading began, Position where it is, End where it is to go.
	From, Position, End int64
	// Records were applied, Bytes are their keys and values.
	Records, Bytes int64
	// Rate is in offsets a second: of the last ten seconds while the restore lasts, of all of it when it is done.
	Rate float64
	// Took is the time since the plan was made, or until it was carried out, which Done tells.
	Took time.Duration
	Done bool
}

// Fraction is the part of the offsets that was read, from 0 to 1.
func (r RestoreStats) Fraction() float64 {
	if r.Done || r.Decision != "" && r.End <= r.From {
		return 1
	}
	if r.End <= r.From {
		return 0
	}
	return min(1, float64(r.Position-r.From)/float64(r.End-r.From))
}

// Remaining is the time that the offsets not read yet will take at Rate; false while that is 0, or next to it.
func (r RestoreStats) Remaining() (time.Duration, bool) {
	switch left := r.End - r.Position; {
	case left <= 0:
		return 0, true
	case r.Rate*mostSeconds <= float64(left):
		return 0, false
	default:
		return time.Duration(float64(left) / r.Rate * float64(time.Second)).Round(time.Second), true
	}
}

// mostSeconds is what a Duration can hold.
const mostSeconds = float64(math.MaxInt64 / time.Second)

// Progress is how far the tables of a Processor or a View have come since this process has them: what a progress bar shows.
type Progress struct {
	// Tables are the table partitions that are here: of each task the kept and the joined ones, then those looked up.
	Tables []TableProgress
	// Sum is as if the logs lay one behind the other, from 0 on: Position of End offsets are read, at the Rate of all
	// restores under way. Took is the longest. Of a partition that waits nothing is known, and nothing is in it. It is Done when
	// all is: never before the process has been given its partitions.
	Sum RestoreStats
	// Waiting counts the partitions without a plan, Current those that are done.
	Waiting, Current int
}

// TableProgress is one table partition. It is not Done while its log is in doubt, nor when that has led to a rebuild.
type TableProgress struct {
	Topic     string
	Partition int32
	// Role is one of the Role constants.
	Role string
	RestoreStats
}

// Progress is what of s speaks of restores.
func (s Stats) Progress() Progress {
	var p Progress
	for _, n := range slices.Sorted(maps.Keys(s.Tasks)) {
		for _, t := range s.Tasks[n].Tables {
			p.add(t)
		}
	}
	for _, t := range s.Lookups {
		p.add(t)
	}
	p.Sum.Done = s.State == StateRunning && p.Current == len(p.Tables) && (s.Kind != KindView || p.Current > 0)
	if p.Sum.Done && p.Sum.Took > 0 {
		p.Sum.Rate = float64(p.Sum.Position) / p.Sum.Took.Seconds()
	}
	return p
}

func (p *Progress) add(t TableStats) {
	r := t.Restore
	r.Done = r.Done && !t.Stale
	p.Tables = append(p.Tables, TableProgress{Topic: t.Topic, Partition: t.Partition, Role: t.Role, RestoreStats: r})
	sum := &p.Sum
	switch {
	case r.Decision == "":
		p.Waiting++
		return
	case r.Done:
		p.Current++
	default:
		sum.Rate += r.Rate
	}
	sum.Position, sum.End = sum.Position+r.Position-r.From, sum.End+max(r.End, r.Position)-r.From
	sum.Records, sum.Bytes = sum.Records+r.Records, sum.Bytes+r.Bytes
	sum.Took = max(sum.Took, r.Took)
}

// Remaining is the time until all is read, at the rate of now. It is false where that is not known: while a partition waits,
// and while nothing comes.
func (p Progress) Remaining() (time.Duration, bool) {
	if p.Waiting > 0 {
		return 0, false
	}
	return p.Sum.Remaining()
}

// String is a line for people.
func (p Progress) String() string {
	text := fmt.Sprintf("%d of %d table partitions current, %.0f %% of %d offsets", p.Current, len(p.Tables), 100*p.Sum.Fraction(), p.Sum.End)
	if p.Sum.Done {
		return text
	}
	text += fmt.Sprintf(", %.0f/s", p.Sum.Rate)
	if left, known := p.Remaining(); known && left > 0 {
		text += fmt.Sprintf(", %v left", left)
	}
	return text
}
