package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// panel is what tests read of a panel of a board.
type panel struct {
	Type, Title string
	Targets     []struct {
		Datasource   struct{ Type string }
		RawSQL       string `json:"rawSql"`
		QueryType    string
		Expr         string
		LegendFormat string
	}
}

// readBoards gives the panels of every board of deployments/grafana, by file.
func readBoards(t *testing.T) map[string][]panel {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", "deployments", "grafana", "boards", "*.json"))
	if err != nil || len(names) < 3 {
		t.Fatalf("%d boards (%v)", len(names), err)
	}
	boards := map[string][]panel{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var board struct{ Panels []panel }
		if err := json.Unmarshal(data, &board); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		boards[filepath.Base(name)] = board.Panels
	}
	return boards
}

// macroCall matches a call of one of the plugin's macros that take a column.
var macroCall = regexp.MustCompile(`\$__(timeFilter|timeInterval)\(([^()]+)\)`)

// expand replaces the macros and variables in a query as Grafana and ClickHouse's plugin do.
func expand(sql string, from, to time.Time) string {
	sql = macroCall.ReplaceAllStringFunc(sql, func(call string) string {
		m := macroCall.FindStringSubmatch(call)
		if m[1] == "timeInterval" {
			return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL 60 second)", m[2])
		}
		return fmt.Sprintf("%s >= toDateTime(%d) AND %[1]s <= toDateTime(%[3]d)", m[2], from.Unix(), to.Unix())
	})
	return strings.NewReplacer(
		"$__fromTime", fmt.Sprintf("toDateTime(%d)", from.Unix()), "$__toTime", fmt.Sprintf("toDateTime(%d)", to.Unix()),
		"${vrf:sqlstring}", "'default'").Replace(sql)
}

// Every query of the boards runs as anybody may run it, and finds something in the store of the cookbook. A panel over
// time has a time in its first column.
func testBoards(t *testing.T, a addresses) {
	to := time.Now()
	from := to.Add(-48 * time.Hour)
	queries := 0
	for file, panels := range readBoards(t) {
		for _, p := range panels {
			for _, q := range p.Targets {
				if q.Datasource.Type != "grafana-clickhouse-datasource" {
					continue
				}
				queries++
				sql := expand(q.RawSQL, from, to)
				if strings.Contains(sql, "$") && !strings.Contains(sql, "]+)-'") {
					t.Errorf("%s, %s: something is left to expand in %s", file, p.Title, sql)
				}
				out, err := a.query(sql + "\nFORMAT TabSeparatedWithNamesAndTypes")
				if err != nil {
					t.Errorf("%s, %s: %v\n%s", file, p.Title, err, sql)
					continue
				}
				lines := strings.Split(out, "\n")
				if len(lines) < 3 {
					t.Errorf("%s, %s finds nothing", file, p.Title)
				}
				if q.QueryType == "timeseries" && (!strings.HasPrefix(lines[0], "time\t") || !strings.HasPrefix(lines[1], "DateTime")) {
					t.Errorf("%s, %s has no time first: %s", file, p.Title, lines[0])
				}
				if p.Type == "stat" {
					for _, kind := range strings.Split(lines[1], "\t") {
						if !strings.Contains(kind, "Int") && !strings.Contains(kind, "Float") {
							t.Errorf("%s, %s shows %s as numbers", file, p.Title, lines[1])
						}
					}
				}
			}
		}
	}
	if queries < 15 {
		t.Errorf("%d queries in the boards", queries)
	}
}

// Prometheus's queries of the boards are expressions that Prometheus takes.
func TestBoardExpressions(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: boards\n    rules:\n")
	n := 0
	for _, panels := range readBoards(t) {
		for _, p := range panels {
			for _, q := range p.Targets {
				if q.Expr == "" {
					continue
				}
				n++
				expr, err := json.Marshal(strings.ReplaceAll(q.Expr, "$__rate_interval", "1m"))
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&rules, "      - {record: 'board:%d', expr: %s}\n", n, expr)
			}
		}
	}
	if n < 25 {
		t.Errorf("%d expressions in the boards", n)
	}
	file := filepath.Join(t.TempDir(), "boards.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

// The SDK that makes the boards is in no program that runs.
func TestBoardsApart(t *testing.T) {
	for _, p := range goPackages(t) {
		if i := slices.IndexFunc(p.Imports, func(i string) bool { return strings.HasPrefix(i, "github.com/grafana/") }); i >= 0 && p.ImportPath != "cordon/scripts/boards" {
			t.Errorf("%s imports %s", p.ImportPath, p.Imports[i])
		}
	}
}
