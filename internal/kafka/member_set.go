package kafka

import "slices"

// taskSet is a sorted set of task numbers. Its methods never change it.
type taskSet []int32

func newTaskSet(tasks []int32) taskSet {
	return slices.Compact(slices.Sorted(slices.Values(tasks)))
}

func (s taskSet) has(t int32) bool {
	_, ok := slices.BinarySearch(s, t)
	return ok
}

func (s taskSet) minus(o taskSet) taskSet {
	return slices.DeleteFunc(slices.Clone(s), o.has)
}

func (s taskSet) and(o taskSet) taskSet {
	return slices.DeleteFunc(slices.Clone(s), func(t int32) bool { return !o.has(t) })
}

func (s taskSet) plus(o taskSet) taskSet {
	return newTaskSet(slices.Concat(s, o))
}
