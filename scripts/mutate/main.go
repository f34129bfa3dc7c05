// Command mutate seeds faults into packages, one at a time, and asks whether their tests find them: a comparison is turned around or
// moved by one, a condition negated, a term of a sum or a logical one exchanged, a statement left out. It draws them evenly over the
// places where they fit, the same ones for the same seed, and changes no file: the compiler reads the changed one from elsewhere.
//
//	go run ./scripts/mutate [-faults N] [-seed N] [-limit DURATION] [-run REGEXP] PACKAGE...
//
// It prints a line for each fault, and how many were found. A fault that leaves what a program does unchanged cannot be found; whoever
// reads the list says which these are. The exit code is 0 whatever was found, unless the tests fail without a fault.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mutate: ")
	faults := flag.Int("faults", 100, "how many `faults` to seed, over all packages")
	seed := flag.Uint64("seed", 1, "which faults are drawn")
	limit := flag.Duration("limit", 5*time.Minute, "how long the tests of one fault may take; a fault that makes them run longer is found")
	run := flag.String("run", "", "only tests whose name matches the `expression`")
	flag.Parse()
	if err := mutate(flag.Args(), *faults, *seed, *limit, *run); err != nil {
		log.Fatal(err)
	}
}

// fault is one change of the tree of a file; undo takes it back.
type fault struct {
	dir, file string
	at        token.Position
	what      string
	tree      *ast.File
	files     *token.FileSet
	do, undo  func()
}

func mutate(dirs []string, n int, seed uint64, limit time.Duration, run string) error {
	if len(dirs) == 0 {
		return errors.New("name the folders of packages, for example ./recommender/decide")
	}
	temporary, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	var all []fault
	for _, dir := range dirs {
		if out, err := test(dir, "", limit, run); err != nil {
			return fmt.Errorf("the tests of %s fail without a fault: %w\n%s", dir, err, out)
		}
		places, err := faultsOf(dir)
		if err != nil {
			return err
		}
		all = append(all, places...)
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	fmt.Printf("%d places\n", len(all))
	tried, found := 0, 0
	for i := range all {
		if tried == n {
			break
		}
		verdict, err := all[i].try(temporary, limit, run)
		if err != nil {
			return err
		}
		if verdict == "" {
			continue
		}
		tried++
		if verdict != "lived" {
			found++
		}
		fmt.Printf("%-9s %s:%d:%d %s\n", verdict, filepath.ToSlash(all[i].file), all[i].at.Line, all[i].at.Column, all[i].what)
	}
	fmt.Printf("%d of %d faults were found\n", found, tried)
	return nil
}

// try gives "failed" or "too long" where tests find the fault, "lived" where none does, and nothing where it does not compile.
func (f *fault) try(temporary string, limit time.Duration, run string) (string, error) {
	var b bytes.Buffer
	f.do()
	err := printer.Fprint(&b, f.files, f.tree)
	f.undo()
	if err != nil {
		return "", err
	}
	changed, overlay := filepath.Join(temporary, "changed.go"), filepath.Join(temporary, "overlay.json")
	original, err := filepath.Abs(f.file)
	if err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err := errors.Join(err, os.WriteFile(changed, b.Bytes(), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return "", err
	}
	out, err := test(f.dir, overlay, limit, run)
	switch {
	case err == nil:
		return "lived", nil
	case errors.Is(err, context.DeadlineExceeded):
		return "too long", nil
	case strings.Contains(out, "[build failed]"):
		return "", nil
	}
	return "failed", nil
}

// test runs the tests of a package, with another file in place of one where overlay says so. Properties that fail are not made smaller.
func test(dir, overlay string, limit time.Duration, run string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	args := []string{"test", "-count=1", "-failfast", "-vet=off", "-ldflags=-w", "-run=" + run}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, dir, "-args", "-rapid.shrinktime=1ns", "-rapid.nofailfile")...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return string(out), err
}

// faultsOf finds the places of a package, tests apart, where a fault fits.
func faultsOf(dir string) (out []fault, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		tree, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		add := func(at token.Pos, what string, do, undo func()) {
			out = append(out, fault{dir, path, files.Position(at), what, tree, files, do, undo})
		}
		ast.Inspect(tree, func(n ast.Node) bool { places(n, add); return true })
	}
	return out, err
}

// exchanges gives for an operator the ones that a fault puts in its place.
var exchanges = map[token.Token][]token.Token{
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS, token.GTR}, token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR, token.LSS},
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL}, token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD: {token.SUB}, token.SUB: {token.ADD}, token.MUL: {token.QUO}, token.QUO: {token.MUL},
	token.SHL: {token.SHR}, token.SHR: {token.SHL}, token.AND: {token.OR}, token.OR: {token.AND}, token.AND_NOT: {token.AND},
}

func places(n ast.Node, add func(token.Pos, string, func(), func())) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		was := n.Op
		for _, to := range exchanges[was] {
			add(n.OpPos, fmt.Sprintf("%s becomes %s", was, to), func() { n.Op = to }, func() { n.Op = was })
		}
	case *ast.IncDecStmt:
		was, to := n.Tok, token.INC
		if was == token.INC {
			to = token.DEC
		}
		add(n.TokPos, fmt.Sprintf("%s becomes %s", was, to), func() { n.Tok = to }, func() { n.Tok = was })
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			inside := n.X
			add(n.OpPos, "! is left out", func() { n.X = &ast.UnaryExpr{Op: token.NOT, X: inside} }, func() { n.X = inside })
		}
	case *ast.BranchStmt:
		if was := n.Tok; was == token.BREAK || was == token.CONTINUE {
			to := token.BREAK + token.CONTINUE - was
			add(n.TokPos, fmt.Sprintf("%s becomes %s", was, to), func() { n.Tok = to }, func() { n.Tok = was })
		}
	case *ast.BlockStmt:
		for i, s := range n.List {
			switch s := s.(type) {
			case *ast.ExprStmt:
			case *ast.AssignStmt:
				if s.Tok == token.DEFINE {
					continue
				}
			default:
				continue
			}
			add(s.Pos(), "the statement is left out", func() { n.List[i] = &ast.EmptyStmt{Semicolon: s.Pos()} }, func() { n.List[i] = s })
		}
	}
}
