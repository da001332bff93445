package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"testing"

	"github.com/stretchr/testify/require"
)

// world type-checks sources in order, each able to import the ones before it.
type world struct {
	fset *token.FileSet
	pkgs map[string]*types.Package
}

func (w *world) Import(path string) (*types.Package, error) {
	if p := w.pkgs[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no package %s", path)
}

func (w *world) check(t *testing.T, path, text string) *types.Package {
	t.Helper()
	tree, err := parser.ParseFile(w.fset, path+"/a.go", text, 0)
	require.NoError(t, err)
	config := types.Config{Importer: w}
	pkg, err := config.Check(path, w.fset, []*ast.File{tree}, nil)
	require.NoError(t, err)
	w.pkgs[path] = pkg
	return pkg
}

func clientWorld(t *testing.T) *world {
	w := &world{fset: token.NewFileSet(), pkgs: map[string]*types.Package{}}
	w.check(t, "github.com/IBM/sarama", "package sarama\n\ntype Config struct{ F int }\n\ntype Client interface{ Close() }\n")
	w.check(t, module+"/internal/kafka", `package kafka

import "github.com/IBM/sarama"

type SaramaConfig = sarama.Config

type Other = sarama.Config

type Conn struct{ client sarama.Client }

func (c *Conn) Client() sarama.Client { return c.client }

type Plain struct{ client sarama.Client }
`)
	return w
}

// The alias declared for it is the one way in which a client's type is shown.
func TestPublicAPIRuleCanFail(t *testing.T) {
	w := clientWorld(t)
	pkg := w.check(t, module+"/processor", `package processor

import "`+module+`/internal/kafka"

func Inferred() *kafka.Other { return nil }

type Options struct {
	Named  []map[string]*kafka.Other
	hidden kafka.Other
}

type Box[T any] struct{ Value T }

var Boxed Box[func(kafka.Other)]

type Through interface{ Conn() *kafka.Conn }
`)
	var got []string
	for _, f := range leaks(w.fset, pkg) {
		got = append(got, fmt.Sprintf("%d: %s", f.line, f.text))
	}
	const tail = ": no type of a client library in the public API"
	require.Equal(t, []string{
		"14: processor.Boxed shows github.com/IBM/sarama.Config" + tail,
		"5: processor.Inferred shows github.com/IBM/sarama.Config" + tail,
		"7: processor.Options shows github.com/IBM/sarama.Config" + tail,
		"11: processor.Through shows github.com/IBM/sarama.Client through Client" + tail,
	}, got)
}

func TestPublicAPIRuleHolds(t *testing.T) {
	w := clientWorld(t)
	pkg := w.check(t, module+"/processor", `package processor

import "`+module+`/internal/kafka"

type ClientConfig = kafka.SaramaConfig

func Client(c *kafka.SaramaConfig) { var _ kafka.Other }

func Plain() kafka.Plain { return kafka.Plain{} }

type Recursive struct {
	Next *Recursive
	conn kafka.Conn
}

func (r *Recursive) Each(yield func(*Recursive) error) {}

func hidden() kafka.Other { return kafka.Other{} }

type Number interface{ ~int | ~float64 }

func Sum[T Number](values ...T) (sum T) { return sum }
`)
	require.Empty(t, leaks(w.fset, pkg))
}

// A package that is there to serve a library shows its types; another that hands them on does not.
func TestPublicAPIRule_ShownByItsOwnPackage(t *testing.T) {
	w := clientWorld(t)
	w.check(t, "github.com/prometheus/client", "package client\n\ntype Collector struct{}\n")
	pkg := w.check(t, module+"/metrics", "package metrics\n\nimport \"github.com/prometheus/client\"\n\nfunc New() client.Collector { return client.Collector{} }\n")
	require.Empty(t, leaks(w.fset, pkg))
	pkg = w.check(t, module+"/health", "package health\n\nimport \"github.com/prometheus/client\"\n\nfunc New() client.Collector { return client.Collector{} }\n")
	require.Len(t, leaks(w.fset, pkg), 1)
}
