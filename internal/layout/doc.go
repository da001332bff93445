// Package layout knows where state lies below a state directory, by the names of folders and files alone: it opens no store.
//
//	<state dir>/groups|views/<escaped name>/LOCK
//	                                       /INSTANCE
//	                                       /<escaped table>/<partition>/
package layout
