package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath string
	Doc        string
	GoFiles    []string

	Imports, TestImports, XTestImports []string
}

func goPackages(t *testing.T) (packages []goPackage) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// mayImport says which packages of Cordon each folder may import, beside those
// of the folder itself. docs/architecture.md gives the reasons.
var mayImport = map[string][]string{
	"schema":               {},
	"categories":           {},
	"collector":            {"schema", "categories", "internal/bus"},
	"ingest":               {"schema", "internal/bus"},
	"recommender":          {"schema", "categories"},
	"internal/access":      {},
	"internal/api":         {"recommender", "schema", "categories", "internal/access", "internal/sessions"},
	"internal/bus":         {"schema"},
	"internal/config":      {},
	"internal/httpapi":     {"internal/access"},
	"internal/imports":     {},
	"internal/memberships": {"categories", "schema"},
	"internal/status":      {"collector", "ingest", "internal/bus"},
	"internal/sessions":    {"schema", "categories"},
	"internal/web":         {},
	"scripts":              {},

	"internal/chdb":           {},
	"internal/clickhousehttp": {"internal/chdb", "internal/datafolder"},
	"internal/natsserver":     {"internal/datafolder"},
	"internal/datafolder":     {},

	// What tests of several packages share.
	"internal/killtest":   {},
	"internal/loadtest":   {"schema", "collector"},
	"internal/recordtest": {"schema"},

	"internal/vcentertest": {},
}

// groundFloor is what every package may import, and what imports nothing.
var groundFloor = []string{"internal/iana", "internal/sqltext", "internal/text"}

// importNone are packages that could leave the house: they take nothing from the
// ground floor either.
var importNone = []string{"internal/chdb", "internal/datafolder", "internal/killtest", "recommender/cover", "recommender/prefixcover"}

// pure are the packages of the recommender that ask nobody, and what each may import of Cordon's.
var pure = map[string][]string{
	"recommender/cells":  {"recommender/policy", "categories"},
	"recommender/decide": {"recommender/cells", "recommender/policy", "recommender/prefixcover", "categories", "internal/iana"},
}

// Dependencies point one way: from the commands down to schema and categories.
func TestImports(t *testing.T) {
	const module = "cordon/"
	folder := func(path string) string {
		name := strings.TrimPrefix(path, module)
		parts := strings.Split(name, "/")
		if parts[0] == "internal" && len(parts) > 1 {
			return parts[0] + "/" + parts[1]
		}
		return parts[0]
	}
	for _, p := range goPackages(t) {
		from := folder(p.ImportPath)
		if from == "cmd" || from == "e2e" {
			continue
		}
		allowed, known := mayImport[from]
		switch {
		case slices.Contains(groundFloor, from):
			known = true
		case !slices.ContainsFunc(importNone, func(path string) bool { return strings.HasPrefix(p.ImportPath, module+path) }):
			allowed = slices.Concat(allowed, groundFloor)
		}
		if !known {
			t.Errorf("folder %s has no rule here: say what it may import", from)
			continue
		}
		if only, ok := pure[strings.TrimPrefix(p.ImportPath, module)]; ok {
			for _, i := range p.Imports {
				if strings.Contains(i, "clickhouse") || i == "context" || strings.HasPrefix(i, module) && !slices.Contains(only, strings.TrimPrefix(i, module)) {
					t.Errorf("%s imports %s; it has no connection, and of Cordon's it may import %v", p.ImportPath, i, only)
				}
			}
		}
		if strings.HasPrefix(p.ImportPath, module+"recommender/target") {
			for _, i := range p.Imports {
				if strings.HasPrefix(i, module) && i != module+"recommender/policy" && i != module+"categories" && i != module+"internal/iana" &&
					i != module+"internal/text" && (i != module+"recommender/target/eos" || p.ImportPath != module+"recommender/target") {
					t.Errorf("%s imports %s; a target knows policies only", p.ImportPath, i)
				}
			}
		}
		if p.ImportPath == module+"recommender/watch" { // it publishes; the rest of the folder does not
			allowed = append(slices.Clone(allowed), "internal/bus")
		}
		for _, i := range p.Imports {
			if to := folder(i); strings.HasPrefix(i, module) && to != from && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s; of Cordon's, folder %s may import %v", p.ImportPath, i, from, allowed)
			}
		}
		// Tests may run on the embedded servers, and nothing may import a command.
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			if folder(i) == "cmd" && strings.HasPrefix(i, module) {
				t.Errorf("a test of %s imports %s", p.ImportPath, i)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	for _, p := range goPackages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// go.mod replaces nothing, and docs/dependencies.md names what the code
// imports: no less and no more.
func TestDependencies(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join("..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	used := map[string]bool{}
	for _, line := range strings.Split(string(mod), "\n") {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		switch {
		case len(words) > 0 && words[0] == "replace":
			t.Errorf("go.mod: %s", line)
		case len(words) > 1 && words[0] == "tool" && words[1] != "(":
			used[words[1]] = true
		case len(words) == 1 && strings.Contains(words[0], "/"): // Blocks of tools have such lines.
			used[words[0]] = true
		case len(words) > 1 && strings.Contains(words[0], ".") && strings.HasPrefix(words[1], "v"):
			modules = append(modules, words[0])
			if !strings.Contains(line, "// indirect") {
				used[words[0]] = true
			}
		}
	}
	for _, p := range goPackages(t) {
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			used[i] = true
		}
	}
	direct := map[string]bool{}
	for i := range used {
		of := ""
		for _, m := range modules {
			if (i == m || strings.HasPrefix(i, m+"/")) && len(m) > len(of) {
				of = m
			}
		}
		if of != "" {
			direct[of] = true
		}
	}
	if len(direct) < 10 {
		t.Fatalf("%d direct dependencies found: %v", len(direct), direct)
	}

	doc, err := os.ReadFile(filepath.Join("..", "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	quoted := regexp.MustCompile("`([^`]+)`")
	for _, line := range strings.Split(string(doc), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, q := range quoted.FindAllStringSubmatch(cells[1], -1) {
			if name, _, _ := strings.Cut(q[1], "/"); strings.Contains(name, ".") { // a module, not libchdb
				named[q[1]] = true
			}
		}
	}
	for m := range direct {
		if !named[m] {
			t.Errorf("docs/dependencies.md does not name %s", m)
		}
	}
	for m := range named {
		if !direct[m] {
			t.Errorf("docs/dependencies.md names %s, which nothing imports", m)
		}
	}
}
