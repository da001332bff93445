// Package invariant holds the checks that cost nothing in production: relations that are true unless tarn itself has
// a defect. They bite in builds with the tag invariants and under -race, so every test run of the CI makes them.
//
// A broken invariant panics. Bad input, a failing disk or a strange answer of a broker is never an invariant: those are
// errors.
package invariant
