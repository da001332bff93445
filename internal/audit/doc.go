// Package audit compares a table partition with its topic.
package audit
