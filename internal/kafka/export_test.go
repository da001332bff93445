package kafka

// SetWindow bounds the batches of a partition in flight, for comparisons.
func (p *Producer) SetWindow(n int) { p.window = n }
