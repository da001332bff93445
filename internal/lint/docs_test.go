package lint

import (
	"go/ast"
	"regexp"
	"slices"
)

// wellKnown are methods whose meaning an interface of the standard library fixes.
var wellKnown = []string{
	"Error", "Unwrap", "Is", "As", "String", "GoString", "Format", "Len", "Less", "Swap", "LogValue", "Timeout", "Temporary",
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "Read", "Write", "Close",
}

var marks = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

// vague are package names that say nothing.
var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared"}

func checkPackageDoc(r *repo) []finding {
	var found []finding
	for _, f := range r.folders() {
		if first := undocumented(f); first != nil {
			found = append(found, r.at(first.ast.Package, "package %s has no package comment: write a doc.go", f.dir))
		}
		if slices.Contains(vague, f.name) {
			found = append(found, r.at(f.files[0].ast.Package, "package name %s says nothing", f.name))
		}
	}
	return found
}

// undocumented gives the first non-test file of a package without package comment, nil where there is a comment or
// nothing but tests.
func undocumented(f *folder) *source {
	var first *source
	for _, s := range f.files {
		switch {
		case s.test:
		case s.ast.Doc != nil:
			return nil
		case first == nil:
			first = s
		}
	}
	return first
}

func checkExportedDocs(r *repo) []finding {
	return r.eachFile(func(f *folder, s *source) []finding {
		if s.test || f.name == "main" {
			return nil
		}
		var found []finding
		for _, decl := range s.ast.Decls {
			for _, id := range undocumentedNames(decl) {
				found = append(found, r.at(id.Pos(), "exported %s is not documented", id.Name))
			}
		}
		return found
	})
}

func undocumentedNames(decl ast.Decl) []*ast.Ident {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && onExportedType(d) && !isWellKnown(d) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		return undocumentedSpecs(d)
	}
	return nil
}

// undocumentedSpecs takes a comment on a group of constants or variables for a comment on each.
func undocumentedSpecs(d *ast.GenDecl) []*ast.Ident {
	var names []*ast.Ident
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && spec.Doc == nil && spec.Comment == nil && (d.Doc == nil || d.Lparen.IsValid()) {
				names = append(names, spec.Name)
			}
		case *ast.ValueSpec:
			if spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
				names = append(names, exportedOnly(spec.Names)...)
			}
		}
	}
	return names
}

func exportedOnly(ids []*ast.Ident) []*ast.Ident {
	return slices.DeleteFunc(slices.Clone(ids), func(id *ast.Ident) bool { return !id.IsExported() })
}

func isWellKnown(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains(wellKnown, d.Name.Name)
}

// onExportedType is true for functions and for methods that a user can see in the documentation.
func onExportedType(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	for n := range ast.Preorder(d.Recv.List[0].Type) {
		if id, ok := n.(*ast.Ident); ok {
			return id.IsExported() // the receiver's type comes before its type parameters
		}
	}
	return false
}

func checkMarks(r *repo) []finding {
	return r.eachFile(func(_ *folder, s *source) []finding {
		var found []finding
		for _, group := range s.ast.Comments {
			for _, c := range group.List {
				if m := marks.FindString(c.Text); m != "" {
					found = append(found, r.at(c.Pos(), "mark %s: file an issue instead", m))
				}
			}
		}
		return found
	})
}
