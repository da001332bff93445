package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"slices"
)

// The budgets of the house. A good reason may raise one, here and in the open.
const (
	maxFileLines     = 800
	maxFunctionLines = 80
	maxParameters    = 4
)

// maxExported bounds the exported names of a package: types, functions, variables and constants; methods and fields
// are not counted.
var maxExported = map[string]int{"topology": 40, "state": 35, "processor": 40}

func checkFileLength(r *repo) []finding {
	return r.eachFile(func(_ *folder, s *source) []finding {
		if s.lines <= maxFileLines {
			return nil
		}
		return []finding{{file: s.path, line: maxFileLines + 1, text: fmt.Sprintf("%d lines, limit %d", s.lines, maxFileLines)}}
	})
}

func checkFunctionLength(r *repo) []finding {
	return r.eachFunction(func(name string, node ast.Node, _ *ast.FuncType) []finding {
		lines := r.fset.Position(node.End()).Line - r.fset.Position(node.Pos()).Line + 1
		if lines <= maxFunctionLines {
			return nil
		}
		return []finding{r.at(node.Pos(), "%s has %d lines, limit %d", name, lines, maxFunctionLines)}
	})
}

func checkParameters(r *repo) []finding {
	return r.eachFunction(func(name string, node ast.Node, t *ast.FuncType) []finding {
		if n := t.Params.NumFields(); n > maxParameters {
			return []finding{r.at(node.Pos(), "%s has %d parameters, limit %d", name, n, maxParameters)}
		}
		return nil
	})
}

// eachFunction visits declarations and literals.
func (r *repo) eachFunction(check func(name string, node ast.Node, t *ast.FuncType) []finding) []finding {
	return r.eachFile(func(_ *folder, s *source) []finding {
		var found []finding
		for n := range ast.Preorder(s.ast) {
			switch n := n.(type) {
			case *ast.FuncDecl:
				// The doc comment is no part of the length.
				found = append(found, check(n.Name.Name, declared{n}, n.Type)...)
			case *ast.FuncLit:
				found = append(found, check("a function literal", n, n.Type)...)
			}
		}
		return found
	})
}

// declared is a function from its func keyword to its end.
type declared struct{ *ast.FuncDecl }

func (d declared) Pos() token.Pos { return d.Type.Pos() }

func checkExportedNames(r *repo) []finding {
	var found []finding
	for _, dir := range slices.Sorted(maps.Keys(maxExported)) {
		f := r.packages[dir]
		if f == nil {
			continue
		}
		if n := len(exportedNames(f)); n > maxExported[dir] {
			text := fmt.Sprintf("package %s exports %d names, limit %d", dir, n, maxExported[dir])
			found = append(found, finding{file: f.files[0].path, line: 1, text: text})
		}
	}
	return found
}

// exportedNames is a set, since build tags may declare a name twice.
func exportedNames(f *folder) map[string]bool {
	names := map[string]bool{}
	for _, s := range f.files {
		if s.test {
			continue
		}
		for _, decl := range s.ast.Decls {
			for _, id := range declaredNames(decl) {
				if id.IsExported() {
					names[id.Name] = true
				}
			}
		}
	}
	return names
}

// declaredNames are the package-level names of a declaration; a method has none.
func declaredNames(decl ast.Decl) []*ast.Ident {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		var names []*ast.Ident
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name)
			case *ast.ValueSpec:
				names = append(names, spec.Names...)
			}
		}
		return names
	}
	return nil
}
