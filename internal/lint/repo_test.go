package lint

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// root is the module's folder as seen from this package's.
var root = filepath.Join("..", "..")

func TestHouseRules(t *testing.T) {
	r, err := loadDir(root)
	require.NoError(t, err)
	require.Contains(t, r.packages, "internal/lint", "the module's root was not found")
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, f := range rule.check(r) {
				t.Errorf("%s (rule %s)", f, rule.name)
			}
		})
	}
}

func TestPublicAPIShowsNoClientLibrary(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the public packages")
	}
	r, err := loadDir(root)
	require.NoError(t, err)
	paths := publicPackages(r)
	require.Contains(t, paths, module+"/codec")
	fset, pkgs, err := exportData(root, paths)
	require.NoError(t, err)
	for _, pkg := range pkgs {
		for _, f := range leaks(fset, pkg) {
			t.Errorf("%s (rule public API)", f)
		}
	}
}
