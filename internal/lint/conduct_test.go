package lint

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
)

// fuzzed are folders that decode what others wrote: they, or a folder below, have a fuzz target.
var fuzzed = []string{"codec", "state", "examples/soc"}

// bubbles is the one package that makes a bubble of virtual time.
const bubbles = "internal/bubbletest"

// virtualTime are the packages through which a test is in virtual time.
var virtualTime = []string{"testing/synctest", module + "/" + bubbles, module + "/streamtest"}

// compare are the functions of package strings with which a text is recognized.
var compare = []string{"Contains", "HasPrefix", "HasSuffix", "EqualFold", "Index", "Compare"}

// checkGoStatements leaves the start of goroutines to internal/task, where each has a name and somebody who waits.
// A call of Go with one argument is sync.WaitGroup's or errgroup's; task.Group's takes a name too.
func checkGoStatements(r *repo) []finding {
	return r.eachFile(func(f *folder, s *source) []finding {
		if s.test || f.name == "main" || f.dir == "internal/task" {
			return nil
		}
		var found []finding
		for n := range ast.Preorder(s.ast) {
			switch n := n.(type) {
			case *ast.GoStmt:
				found = append(found, r.at(n.Pos(), "go statement: goroutines are started through internal/task"))
			case *ast.CallExpr:
				if isMethod(n, "Go") && len(n.Args) == 1 {
					found = append(found, r.at(n.Pos(), "Go of a wait group: goroutines are started through internal/task"))
				}
			}
		}
		return found
	})
}

func checkInit(r *repo) []finding {
	return r.eachFile(func(_ *folder, s *source) []finding {
		var found []finding
		for d := range functions(s) {
			if d.Recv == nil && d.Name.Name == "init" {
				found = append(found, r.at(d.Pos(), "init function: nothing happens by importing a package"))
			}
		}
		return found
	})
}

// checkSleep lets tests sleep in virtual time only: where the folder's tests enter it, since a test often does so through
// a function of another file.
func checkSleep(r *repo) []finding {
	return r.eachFile(func(f *folder, s *source) []finding {
		if !isTestCode(f, s) || slices.ContainsFunc(f.files, func(s *source) bool { return isTestCode(f, s) && isVirtual(s) }) {
			return nil
		}
		var found []finding
		for n := range ast.Preorder(s.ast) {
			if call, ok := n.(*ast.CallExpr); ok && calls(s, call, "time", "Sleep") {
				found = append(found, r.at(n.Pos(), "time.Sleep in a test outside virtual time: wait for a signal"))
			}
		}
		return found
	})
}

// isTestCode tells of a test, or of a package for tests.
func isTestCode(f *folder, s *source) bool { return s.test || strings.HasSuffix(f.name, "test") }

func isVirtual(s *source) bool {
	return slices.ContainsFunc(virtualTime, func(pkg string) bool { return imports(s, pkg) != "" })
}

// checkBubbles has every test enter virtual time through internal/bubbletest: synctest.Test alone breaks under the race
// detector (golang/go#78156).
func checkBubbles(r *repo) []finding {
	return r.eachFile(func(f *folder, s *source) []finding {
		if f.dir == bubbles {
			return nil
		}
		var found []finding
		for n := range ast.Preorder(s.ast) {
			if sel, ok := n.(*ast.SelectorExpr); ok && selects(s, sel, "testing/synctest", "Test") {
				found = append(found, r.at(n.Pos(), "synctest.Test: enter virtual time through %s", bubbles))
			}
		}
		return found
	})
}

// checkLeaks wants the leak check in every package with tests; the programs of examples are left out.
func checkLeaks(r *repo) []finding {
	var found []finding
	for _, f := range r.folders() {
		if within(f.dir, "examples") && f.name == "main" {
			continue
		}
		if first := tested(f); first != nil && !hasLeakCheck(f) {
			found = append(found, r.at(first.Pos(), "package %s has tests but no TestMain with goleak.VerifyTestMain", f.dir))
		}
	}
	return found
}

// tested gives the first test or fuzz target of a package.
func tested(f *folder) *ast.FuncDecl {
	for _, s := range f.files {
		for d := range functions(s) {
			if s.test && d.Recv == nil && (isTest(d, "Test") && d.Name.Name != "TestMain" || isTest(d, "Fuzz")) {
				return d
			}
		}
	}
	return nil
}

func isTest(d *ast.FuncDecl, prefix string) bool {
	return strings.HasPrefix(d.Name.Name, prefix) && d.Type.Params.NumFields() == 1
}

func hasLeakCheck(f *folder) bool {
	for _, s := range f.files {
		for d := range functions(s) {
			if s.test && d.Name.Name == "TestMain" && verifiesLeaks(s, d) {
				return true
			}
		}
	}
	return false
}

func verifiesLeaks(s *source, d *ast.FuncDecl) bool {
	for n := range ast.Preorder(d) {
		if call, ok := n.(*ast.CallExpr); ok && calls(s, call, "go.uber.org/goleak", "VerifyTestMain") {
			return true
		}
	}
	return false
}

func checkFuzzTargets(r *repo) []finding {
	var found []finding
	for _, dir := range fuzzed {
		at := slices.IndexFunc(r.folders(), func(f *folder) bool { return within(f.dir, dir) })
		if at < 0 || slices.ContainsFunc(r.folders(), func(f *folder) bool { return within(f.dir, dir) && hasFuzzTarget(f) }) {
			continue
		}
		text := fmt.Sprintf("package %s decodes what others wrote and has no fuzz target", dir)
		found = append(found, finding{file: r.folders()[at].files[0].path, line: 1, text: text})
	}
	return found
}

func hasFuzzTarget(f *folder) bool {
	return slices.ContainsFunc(f.files, func(s *source) bool {
		for d := range functions(s) {
			if s.test && isTest(d, "Fuzz") {
				return true
			}
		}
		return false
	})
}

// checkErrorText finds errors that are told apart by their text.
func checkErrorText(r *repo) []finding {
	return r.eachFile(func(_ *folder, s *source) []finding {
		if s.test {
			return nil
		}
		var found []finding
		for n := range ast.Preorder(s.ast) {
			if matchesText(s, n) {
				found = append(found, r.at(n.Pos(), "an error is matched by its text: use errors.Is or errors.AsType"))
			}
		}
		return found
	})
}

func matchesText(s *source, n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		return (n.Op.String() == "==" || n.Op.String() == "!=") && (isErrorText(n.X) || isErrorText(n.Y))
	case *ast.CallExpr:
		sel, ok := n.Fun.(*ast.SelectorExpr)
		return ok && slices.Contains(compare, sel.Sel.Name) && calls(s, n, "strings", sel.Sel.Name) &&
			slices.ContainsFunc(n.Args, isErrorText)
	}
	return false
}

func isErrorText(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	return ok && len(call.Args) == 0 && isMethod(call, "Error")
}

func isMethod(call *ast.CallExpr, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == name
}

// calls tells whether a call is that of a package's function, whatever the file calls the package.
func calls(s *source, call *ast.CallExpr, pkg, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && selects(s, sel, pkg, name)
}

func selects(s *source, sel *ast.SelectorExpr, pkg, name string) bool {
	id, ok := sel.X.(*ast.Ident)
	return ok && sel.Sel.Name == name && id.Name == imports(s, pkg)
}

// imports gives the name under which a file knows a package, "" where it does not.
func imports(s *source, pkg string) string {
	for _, spec := range s.ast.Imports {
		target, _ := strconv.Unquote(spec.Path.Value)
		switch {
		case target != pkg:
		case spec.Name != nil:
			return spec.Name.Name
		default:
			return path.Base(pkg)
		}
	}
	return ""
}

// functions are the declarations of functions and methods of a file.
func functions(s *source) func(yield func(*ast.FuncDecl) bool) {
	return func(yield func(*ast.FuncDecl) bool) {
		for _, decl := range s.ast.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && !yield(d) {
				return
			}
		}
	}
}
