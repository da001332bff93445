// Package observe says what there is to see of a running Processor or View: events as they happen.
//
//	observe.Observer{
//		RecordError: func(e observe.RecordError) { alarm(e.Topic, e.Partition, e.Offset, e.Cause) },
//	}
//
// is handed over with processor.Observe. The same events go to the log (processor.Logger) in any case, see Log.
package observe
