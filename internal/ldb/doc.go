// Package ldb is tarn's only importer of goleveldb: a database with strict reads and one synced write, and the file
// systems below it: the real one, one that fails its i-th operation, and one in memory that can be cloned as a crash
// at that moment would leave it.
//
// goleveldb silently drops a damaged batch in mid-journal and keeps later ones, also with its default strictness; with
// the strictest it refuses a torn last write, which is no damage. So this package opens with the default, and its
// caller numbers the writes and requires the numbers to be contiguous. leveldb.Recover is never used.
package ldb
