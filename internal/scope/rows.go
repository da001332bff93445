package scope

// Rows walks over rows in key order.
type Rows interface {
	// Next goes to the next row; false means the end or an error.
	Next() bool
	// Key and Value are the row's. The value is good until the next Next or Close.
	Key() string
	Value() []byte
	// Err tells why Next answered false; nil at the end.
	Err() error
	// Close frees what the walk holds. It is idempotent.
	Close()
}

// Merge walks over below as it is under changes, which are in key order and have each key once: a changed row takes
// the place of the one below, a deleted one is hidden. The changes' bytes must not change meanwhile.
func Merge(changes []Change, below Rows) *Merged {
	return &Merged{upper: changes, below: below, due: true}
}

// Merged is Merge's walk. due says that below must go on before it is looked at: it goes on only in the next Next, since
// the row that was given out is good until then.
type Merged struct {
	upper     []Change
	below     Rows
	due, more bool
	key       string
	value     []byte
	change    *Change
}

// Change is the change that the row in hand comes from, nil for a row of below's, which is then the one that below has in hand.
func (m *Merged) Change() *Change { return m.change }

// Next implements Rows.
func (m *Merged) Next() bool {
	for {
		if m.due {
			m.due, m.more = false, m.below.Next()
		}
		switch {
		case !m.more && m.below.Err() != nil: // the rest of upper alone would look like the end of the table
			return false
		case m.more && (len(m.upper) == 0 || m.below.Key() < m.upper[0].Key):
			m.key, m.value, m.due, m.change = m.below.Key(), m.below.Value(), true, nil
			return true
		case len(m.upper) == 0:
			return false
		}
		c := &m.upper[0]
		m.upper = m.upper[1:]
		m.due = m.more && m.below.Key() == c.Key
		if !c.Delete {
			m.key, m.value, m.change = c.Key, c.Value, c
			return true
		}
	}
}

// Key implements Rows, as Value, Err and Close do.
func (m *Merged) Key() string { return m.key }

// Value is the row's.
func (m *Merged) Value() []byte { return m.value }

// Err is below's.
func (m *Merged) Err() error { return m.below.Err() }

// Close closes below.
func (m *Merged) Close() { m.below.Close() }
