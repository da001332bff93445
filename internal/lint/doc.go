// Package lint holds the rules of the house as tests: which package may import which, who may know a client library,
// how long files and functions may be, how many names a package exports, what has to be documented, and how tests behave.
//
// `go test ./internal/lint` checks the whole module and names file, line and rule of everything it finds. The rules are
// data and small functions over the syntax (no type checking, so that a package that does not build is still checked);
// only the rule on foreign types in the public API needs types and reads them from the compiler's export data.
//
// A new package is entered in the table of layers, in layers_test.go. A new rule is entered in the list in rules_test.go,
// together with a source that breaks it: a rule that nothing breaks is refused. A fault of restores that gets its test is
// entered in faults_test.go.
package lint
