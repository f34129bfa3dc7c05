package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// longest is how many lines a function may have: a page.
const longest = 80

// Every function of the product can be read on one page.
func TestFunctionLength(t *testing.T) {
	files := 0
	for _, p := range goPackages(t) {
		names, err := filepath.Glob(filepath.Join("..", strings.TrimPrefix(p.ImportPath, "cordon/"), "*.go")) // files of every system
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !strings.HasSuffix(name, "_test.go") {
				files++
				checkLength(t, name)
			}
		}
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}

func checkLength(t *testing.T, name string) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; n > longest {
				t.Errorf("%s: %s has %d lines; at most %d can be read on one page: give its steps functions of their own", name, fn.Name.Name, n, longest)
			}
		}
	}
}
