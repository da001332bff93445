package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/state"
)

// Values says how the values of a table are to be shown.
type Values string

// Text shows what is UTF-8 as text and all else as base64; JSON and Int64 decode by the codecs of that name.
const (
	Text  Values = "text"
	JSON  Values = "json"
	Int64 Values = "int64"
)

// Check tells by an error that there is no such way.
func (v Values) Check() error {
	switch v {
	case Text, JSON, Int64:
		return nil
	}
	return fmt.Errorf("values %q are none of text, json and int64", string(v))
}

// Line is one row to be written as JSON. Key or KeyBase64 is there, and Value or ValueBase64.
type Line struct {
	Key         any       `json:"key,omitempty"`
	KeyBase64   []byte    `json:"keyBase64,omitempty"`
	Value       any       `json:"value,omitempty"`
	ValueBase64 []byte    `json:"valueBase64,omitempty"`
	Offset      int64     `json:"offset"`
	Timestamp   time.Time `json:"timestamp"`
}

// Line shows a row. An error says that its value is not what v stands for: it is then shown as text or base64.
func (v Values) Line(key []byte, row state.Row) (Line, error) {
	l := Line{Offset: row.Offset, Timestamp: time.UnixMilli(row.Timestamp).UTC()}
	l.Key, l.KeyBase64 = text(key)
	value, err := v.decode(row.Value)
	if err == nil {
		l.Value = value
	}
	if value == nil {
		l.Value, l.ValueBase64 = text(row.Value)
	}
	if err != nil {
		err = fmt.Errorf("inspect: the value of key %.64q is no %s: %w", key, v, err)
	}
	return l, err
}

// text gives bytes as text where that is what they are.
func text(data []byte) (any, []byte) {
	if utf8.Valid(data) {
		return string(data), nil
	}
	return nil, data
}

// decode gives a value as what v stands for, nil for text.
func (v Values) decode(data []byte) (any, error) {
	switch v {
	case Int64:
		n, err := codec.Int64.Decode(data)
		if err != nil {
			return nil, err
		}
		return n, nil
	case JSON:
		if !json.Valid(data) {
			return nil, errors.New("not JSON")
		}
		return json.RawMessage(data), nil
	}
	return nil, nil
}

// Show gives a value for people, in quotes where it is text, and not more than some of it.
func (v Values) Show(data []byte) string {
	value, err := v.decode(data)
	switch {
	case err != nil || value == nil:
	case v == Int64:
		return fmt.Sprint(value)
	default:
		return cut(string(data))
	}
	if utf8.Valid(data) {
		return fmt.Sprintf("%q", cut(string(data)))
	}
	return cut(fmt.Sprintf("0x%x", data))
}

const mostShown = 80

func cut(s string) string {
	if len(s) <= mostShown {
		return s
	}
	return fmt.Sprintf("%s... (%d bytes)", s[:mostShown], len(s))
}
