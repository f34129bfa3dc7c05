package verify

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"cordon/recommender/policy"
)

// What an option does with sessions or rules is computed here too: the code reads every field of the settings.
func TestEveryOptionIsKnown(t *testing.T) {
	read := map[string]bool{}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range files {
		if name := of.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					read[s.Sel.Name] = true
				}
				return true
			})
		}
	}
	of := reflect.TypeFor[policy.Settings]()
	for i := range of.NumField() {
		if name := of.Field(i).Name; !read[name] {
			t.Errorf("nothing in verify reads %s: a proposal that was made with it would be judged as if it were not there", name)
		}
	}
}
