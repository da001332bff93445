package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/tarnstream/tarn"

// repo is the syntax of a module, all build tags at once.
type repo struct {
	fset     *token.FileSet
	packages map[string]*folder // by directory, relative to the module's root, with slashes
}

// folder is one directory with Go files.
type folder struct {
	dir   string
	name  string // of its non-test files, else of the package under test
	files []*source
}

type source struct {
	path  string
	test  bool
	lines int
	ast   *ast.File
}

// finding is one place where a rule is broken.
type finding struct {
	file string
	line int
	text string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.text) }

// at makes a finding at a place in the syntax.
func (r *repo) at(pos token.Pos, format string, args ...any) finding {
	p := r.fset.Position(pos)
	return finding{file: p.Filename, line: p.Line, text: fmt.Sprintf(format, args...)}
}

// folders gives the directories in order, so that findings come in one order.
func (r *repo) folders() []*folder {
	var all []*folder
	for _, f := range r.packages {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *folder) int { return strings.Compare(a.dir, b.dir) })
	return all
}

// eachFile asks check about every file and collects what it finds.
func (r *repo) eachFile(check func(*folder, *source) []finding) []finding {
	var found []finding
	for _, f := range r.folders() {
		for _, s := range f.files {
			found = append(found, check(f, s)...)
		}
	}
	return found
}

// eachImport asks check about every import; an answer that is not empty is a finding.
func (r *repo) eachImport(check func(*folder, *source, string) string) []finding {
	return r.eachFile(func(f *folder, s *source) []finding {
		var found []finding
		for _, spec := range s.ast.Imports {
			target, _ := strconv.Unquote(spec.Path.Value)
			if text := check(f, s, target); text != "" {
				found = append(found, r.at(spec.Pos(), "%s", text))
			}
		}
		return found
	})
}

// loadDir reads the module at root. Vendored, hidden and testdata folders and other modules are left out.
func loadDir(root string) (*repo, error) {
	files := map[string]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(root, name)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		rel, _ := filepath.Rel(root, name)
		files[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		return nil, err
	}
	return load(files)
}

func skipDir(root, name string) error {
	base := filepath.Base(name)
	switch {
	case name == root:
		return nil
	case strings.HasPrefix(base, "."), strings.HasPrefix(base, "_"), base == "testdata", base == "vendor":
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// load parses sources by their path in the module. What a generator wrote is left out: its style is not ours to mend.
func load(files map[string]string) (*repo, error) {
	r := &repo{fset: token.NewFileSet(), packages: map[string]*folder{}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		tree, err := parser.ParseFile(r.fset, name, files[name], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if ast.IsGenerated(tree) {
			continue
		}
		r.add(&source{
			path:  name,
			test:  strings.HasSuffix(name, "_test.go"),
			lines: bytes.Count([]byte(files[name]), []byte("\n")),
			ast:   tree,
		})
	}
	return r, nil
}

func (r *repo) add(s *source) {
	dir := path.Dir(s.path)
	f := r.packages[dir]
	if f == nil {
		f = &folder{dir: dir, name: strings.TrimSuffix(s.ast.Name.Name, "_test")}
		r.packages[dir] = f
	}
	if !s.test {
		f.name = s.ast.Name.Name
	}
	f.files = append(f.files, s)
}
