package scope

// guard notes trouble of what lies below the tables. A callback may swallow the error that it got, or return another:
// a record whose reads failed must count for nothing all the same, and what failed is not the record.
type guard struct {
	below Backing
	frame *Frame
}

func (g *guard) Get(table int, key string) ([]byte, *Mark, bool, error) {
	v, mark, ok, err := g.below.Get(table, key)
	g.frame.note(err)
	return v, mark, ok, err
}

func (g *guard) Range(table int) Rows {
	return &guardedRows{Rows: g.below.Range(table), frame: g.frame}
}

// guardedRead is guard for a table that is only read.
type guardedRead struct {
	below ReadBacking
	frame *Frame
}

func (g *guardedRead) Get(key []byte) ([]byte, bool, error) {
	v, ok, err := g.below.Get(key)
	g.frame.note(err)
	return v, ok, err
}

func (g *guardedRead) Range() Rows { return &guardedRows{Rows: g.below.Range(), frame: g.frame} }

type guardedRows struct {
	Rows
	frame *Frame
}

func (r *guardedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.frame.note(r.Rows.Err())
	return false
}

func (f *Frame) note(err error) {
	if err != nil && f.trouble == nil {
		f.trouble = err
	}
}

// Trouble is the first error of what lies below the tables, nil while there was none. From then on Run counts for nothing.
func (f *Frame) Trouble() error { return f.trouble }
