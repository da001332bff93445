package workload

import (
	"bytes"
	"fmt"
)

// mapKeeps tells which records a Map hands on, by their numbers.
func mapKeeps(n int64) bool { return n%2 == 0 }

// mapped is what a Map makes of a value: its letters in upper case. ok is false for one that is not handed on.
func mapped(value []byte) (out []byte, ok bool, err error) {
	n, err := numberOf(value)
	if err != nil || !mapKeeps(n) {
		return nil, false, err
	}
	return bytes.ToUpper(value), true, nil
}

// mappedNumber is the number of a value that a Map has handed on.
func mappedNumber(value []byte) (int64, error) {
	if !bytes.Equal(value, bytes.ToUpper(value)) {
		return 0, fmt.Errorf("workload: a value that was not mapped: %.20s", value)
	}
	return numberOf(value)
}
