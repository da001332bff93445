package observe

// Delivery is what became of one record of an Emitter.
type Delivery struct {
	// Place is where the record was to go; its Group is empty.
	Place
	// Offset is where the record is, -1 with an Err.
	Offset int64
	// Err is nil for a record that is in Kafka, else a *policy.EmitError.
	Err error
}
