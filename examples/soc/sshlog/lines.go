package sshlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Line is one line of a log.
type Line struct {
	// Number counts from 1.
	Number int64
	// Text is the line without its ending. Of a line above MaxLine bytes only
	// so much is kept that Parse still rejects it as too long.
	Text string
}

// Lines yields the lines of r, with either line ending, the last with or
// without one. Memory stays bounded however long a line is. A read error is
// yielded once, with the number of the line it broke, and ends the sequence.
func Lines(r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		in := bufio.NewReaderSize(r, MaxLine)
		for n := int64(1); ; n++ {
			text, err := readLine(in)
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Line{Number: n}, fmt.Errorf("sshlog: line %d: %w", n, err))
				return
			}
			if err != nil && text == "" {
				return
			}
			text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
			if !yield(Line{Number: n, Text: text}, nil) || err != nil {
				return
			}
		}
	}
}

// readLine reads up to and with the next line feed, and drops what is past the
// limit. The text is empty only at the end of the input.
func readLine(in *bufio.Reader) (string, error) {
	const keep = MaxLine + 2 // still too long after the line ending is off
	var text strings.Builder
	for {
		part, err := in.ReadSlice('\n')
		text.Write(part[:min(len(part), keep-text.Len())])
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text.String(), err
		}
	}
}
