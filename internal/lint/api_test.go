package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// handedIn are the aliases of foreign types that a user must be able to hand us.
var handedIn = []string{module + "/internal/kafka.SaramaConfig"}

// leaks gives the places where the exported API of a package shows a type of a client library, directly or through a
// type of ours that a user gets hold of.
func leaks(fset *token.FileSet, pkg *types.Package) []finding {
	w := &apiWalk{fset: fset, seen: map[*types.Named]bool{}}
	for _, name := range pkg.Scope().Names() {
		if obj := pkg.Scope().Lookup(name); obj.Exported() {
			w.entry = obj
			w.object(obj)
		}
	}
	return w.found
}

type apiWalk struct {
	fset  *token.FileSet
	seen  map[*types.Named]bool
	entry types.Object // the exported object of the package at which the walk began
	from  types.Object // the object or method whose type is being walked
	found []finding
}

func (w *apiWalk) object(obj types.Object) {
	outer := w.from
	w.from = obj
	w.walk(obj.Type())
	w.from = outer
}

func (w *apiWalk) walk(t types.Type) {
	switch t := t.(type) {
	case *types.Alias:
		if !slices.Contains(handedIn, qualified(t.Obj())) && !w.foreign(t.Obj()) {
			w.walk(t.Rhs())
		}
	case *types.Named:
		w.named(t)
	case *types.Map:
		w.walk(t.Key())
		w.walk(t.Elem())
	case *types.Signature:
		w.signature(t)
	case *types.Tuple:
		for v := range t.Variables() {
			w.walk(v.Type())
		}
	case *types.Struct:
		for f := range t.Fields() {
			if f.Exported() || f.Embedded() {
				w.walk(f.Type())
			}
		}
	case *types.Interface:
		w.interfaceType(t)
	case *types.TypeParam:
		w.walk(t.Constraint())
	case *types.Union:
		for term := range t.Terms() {
			w.walk(term.Type())
		}
	case interface{ Elem() types.Type }: // pointer, slice, array, channel
		w.walk(t.Elem())
	}
}

// named walks a type of our module once; of other libraries it only asks which. An instance of a generic type is its
// arguments and the generic type.
func (w *apiWalk) named(t *types.Named) {
	for arg := range t.TypeArgs().Types() {
		w.walk(arg)
	}
	t = t.Origin()
	if w.seen[t] || w.foreign(t.Obj()) || t.Obj().Pkg() == nil || !within(t.Obj().Pkg().Path(), module) {
		return
	}
	w.seen[t] = true
	w.walk(t.Underlying())
	for m := range t.Methods() {
		if m.Exported() {
			w.object(m)
		}
	}
}

func (w *apiWalk) signature(t *types.Signature) {
	for p := range t.TypeParams().TypeParams() {
		w.walk(p)
	}
	w.walk(t.Params())
	w.walk(t.Results())
}

func (w *apiWalk) interfaceType(t *types.Interface) {
	for m := range t.ExplicitMethods() {
		if m.Exported() {
			w.object(m)
		}
	}
	for e := range t.EmbeddedTypes() {
		w.walk(e)
	}
}

// foreign reports a type of a client library.
func (w *apiWalk) foreign(obj *types.TypeName) bool {
	if obj.Pkg() == nil || !slices.ContainsFunc(clients, func(c client) bool { return within(obj.Pkg().Path(), c.module) && !w.mayShow(c) }) {
		return false
	}
	p := w.fset.Position(w.from.Pos())
	text := fmt.Sprintf("%s.%s shows %s", w.entry.Pkg().Name(), w.entry.Name(), qualified(obj))
	if w.from != w.entry {
		text += " through " + w.from.Name()
	}
	text += ": no type of a client library in the public API"
	w.found = append(w.found, finding{file: p.Filename, line: p.Line, text: text})
	return true
}

func (w *apiWalk) mayShow(c client) bool {
	dir, ours := inModule(w.entry.Pkg().Path())
	return ours && matches(c.shown, dir)
}

func qualified(obj *types.TypeName) string {
	if obj.Pkg() == nil {
		return obj.Name()
	}
	return obj.Pkg().Path() + "." + obj.Name()
}

// publicPackages are the import paths that users see.
func publicPackages(r *repo) []string {
	var paths []string
	for _, f := range r.folders() {
		library := slices.ContainsFunc(f.files, func(s *source) bool { return !s.test })
		if library && f.name != "main" && !within(f.dir, "internal") && !strings.Contains(f.dir, "/internal") {
			paths = append(paths, module+"/"+f.dir)
		}
	}
	return paths
}

// exportData compiles packages, where the build cache does not have them, and reads their types.
func exportData(root string, paths []string) (*token.FileSet, []*types.Package, error) {
	files, err := listExports(root, paths)
	if err != nil {
		return nil, nil, err
	}
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(p string) (io.ReadCloser, error) {
		if files[p] == "" {
			return nil, fmt.Errorf("lint: no export data of %s: does it compile?", p)
		}
		return os.Open(files[p])
	})
	var pkgs []*types.Package
	for _, p := range paths {
		pkg, err := imp.Import(p)
		if err != nil {
			return nil, nil, err
		}
		pkgs = append(pkgs, pkg)
	}
	return fset, pkgs, nil
}

// listExports maps import paths to files with export data.
func listExports(root string, paths []string) (map[string]string, error) {
	args := append([]string{"list", "-e", "-export", "-deps", "-json=ImportPath,Export", "--"}, paths...)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("lint: go list: %w: %s", err, stderr.String())
	}
	files := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("lint: go list: %w", err)
		}
		files[p.ImportPath] = p.Export
	}
}
