package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// told is a ledger that has been told of n inputs of key a, each sent and in the input.
func told(exactly bool, n int64, steps ...step) *ledger {
	l := newLedger(exactly, map[string]int32{"a": 0})
	for i := range n {
		l.input("a", 0, i, l.next("a"))
	}
	for _, s := range steps {
		l.output("a", s)
	}
	l.row("a", 10, tally{Count: n, Next: n})
	return l
}

func counted(number, count int64) step { return step{Number: number, tally: tally{Count: count}} }

func TestLedger_FindsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		exactly bool
		steps   []step
		want    string // "" for nothing wrong
	}{
		"exact":                         {true, []step{counted(0, 1), counted(1, 2), counted(2, 3)}, ""},
		"lost at the end":               {true, []step{counted(0, 1), counted(1, 2)}, "number 2 is lost"},
		"lost in the middle":            {true, []step{counted(0, 1), counted(2, 3)}, "number 1 is lost"},
		"lost, at least once":           {false, []step{counted(0, 1), counted(2, 3)}, "number 1 is lost"},
		"double":                        {true, []step{counted(0, 1), counted(1, 2), counted(1, 2), counted(2, 3)}, "number 1 comes twice"},
		"handled again":                 {false, []step{counted(0, 1), counted(1, 2), counted(0, 3), counted(1, 4), counted(2, 5)}, ""},
		"out of order":                  {true, []step{counted(0, 1), counted(2, 3), counted(1, 2)}, "number 1 comes behind number 2"},
		"out of order, at least once":   {false, []step{counted(1, 2), counted(0, 1), counted(2, 3)}, "number 0 comes behind number 1"},
		"counted twice":                 {true, []step{counted(0, 1), counted(1, 3), counted(2, 4)}, "number 1 is counted as the 3th"},
		"the row lost":                  {false, []step{counted(0, 1), counted(1, 2), counted(2, 1)}, "number 2 is counted as the 1th"},
		"the row behind":                {false, []step{counted(0, 1), counted(1, 2), {Number: 2, tally: tally{Count: 3}, Gap: 1}}, "does not know of the 1 numbers before 2"},
		"never sent":                    {true, []step{counted(0, 1), counted(1, 2), counted(2, 3), counted(3, 4)}, "number 3 was never sent"},
		"never sent, long after others": {false, []step{counted(0, 1), counted(1, 2), counted(2, 3), counted(9, 10)}, "number 9 was never sent"},
	} {
		t.Run(name, func(t *testing.T) {
			err := told(c.exactly, 3, c.steps...).close().err()
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

// What is found before the end is told when a run cannot go on.
func TestLedger_SoFar(t *testing.T) {
	require.NoError(t, told(true, 3, counted(0, 1)).soFar())
	require.ErrorContains(t, told(true, 3, counted(0, 1), counted(0, 1)).soFar(), "0 lost, 1 double")
}

func TestLedger_ComparesTheTable(t *testing.T) {
	for name, c := range map[string]struct {
		exactly, wrong bool
		row            tally
	}{
		"exact":         {true, false, tally{Count: 2, Next: 2}},
		"more":          {true, true, tally{Count: 3, Next: 2}},
		"handled again": {false, false, tally{Count: 3, Next: 2}},
		"less":          {false, true, tally{Count: 1, Next: 2}},
		"behind":        {false, true, tally{Count: 5, Next: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			l := told(c.exactly, 2, counted(0, 1), counted(1, 2))
			l.row("a", 11, c.row)
			if c.wrong {
				require.ErrorContains(t, l.close().err(), "key a: the table's topic has")
			} else {
				require.NoError(t, l.close().err())
			}
		})
	}
}

// A feed that is not exact says nothing of the group, and is told as what it is.
func TestLedger_TheFeedItself(t *testing.T) {
	l := told(false, 2, counted(0, 1), counted(1, 2))
	l.input("a", 0, 2, 1)
	require.ErrorContains(t, l.close().err(), "the feed of key a is not exact")
	l = told(false, 1, counted(0, 1))
	l.next("a")
	l.output("a", counted(1, 2))
	l.row("a", 1, tally{Count: 2, Next: 2})
	require.ErrorContains(t, l.close().err(), "1 numbers are in the input, 2 were sent")
}

func TestLedger_Needed(t *testing.T) {
	l := newLedger(true, map[string]int32{"a": 0, "b": 0, "c": 1})
	l.row("a", 3, tally{})
	require.Zero(t, l.needed(0), "of b nothing is known")
	l.row("b", 5, tally{})
	require.EqualValues(t, 3, l.needed(0))
	l.row("a", 8, tally{})
	require.EqualValues(t, 5, l.needed(0))
	require.EqualValues(t, 9, l.end(0))
	require.Zero(t, l.end(1))
}

// A wait ends when each partition has told of an input that was sent after the fault.
func TestLedger_ProgressOfEveryPartition(t *testing.T) {
	l := newLedger(true, map[string]int32{"a": 0, "b": 1})
	l.next("a")
	w := l.after()
	l.output("a", counted(0, 1)) // sent before
	l.next("a")
	l.output("a", counted(1, 2))
	select {
	case <-w.done:
		require.Fail(t, "partition 1 has told of nothing")
	default:
	}
	l.next("b")
	l.output("b", counted(0, 1))
	<-w.done
	require.Less(t, w.took, time.Minute)
}
