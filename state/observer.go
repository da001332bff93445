package state

// Observer is told what a restore does. Any func may be nil. They are called from the restoring goroutine: they must not block.
type Observer struct {
	// Planned is called with every plan made, also after a reset.
	Planned func(Plan)
	// Progress is called after every answer that brought the position forward.
	Progress func(Outcome)
	// Reset is called when the log turns out not to be what was read so far: *LogResetError or *OutOfRangeError.
	Reset func(error)
	// Swept is called when a rise of the log start removed rows.
	Swept func(rows int)
	// Ready is called when the end is reached; while following, again after each Reset and each rebuild.
	Ready func(Outcome)
	// Quarantined is called when a generation was set aside at path, "" when there was none to set aside. It is a
	// store's event: see Options.Observer.
	Quarantined func(path string, cause error)
}

// Tee gives an Observer that tells o first and then p.
func (o Observer) Tee(p Observer) Observer {
	return Observer{
		Planned:  tee(o.Planned, p.Planned),
		Progress: tee(o.Progress, p.Progress),
		Reset:    tee(o.Reset, p.Reset),
		Swept:    tee(o.Swept, p.Swept),
		Ready:    tee(o.Ready, p.Ready),
		Quarantined: func(path string, cause error) {
			if o.Quarantined != nil {
				o.Quarantined(path, cause)
			}
			if p.Quarantined != nil {
				p.Quarantined(path, cause)
			}
		},
	}
}

func tee[T any](f, g func(T)) func(T) {
	if f == nil {
		return g
	}
	if g == nil {
		return f
	}
	return func(v T) { f(v); g(v) }
}
