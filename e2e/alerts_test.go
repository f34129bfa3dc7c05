package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// prometheusFolder has the rules of deployments/prometheus and their tests.
var prometheusFolder = filepath.Join("..", "deployments", "prometheus")

// alert is an alerting or recording rule.
type alert struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

func readYAML(t *testing.T, into any, path ...string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", filepath.Join(path...), err)
	}
}

func readRules(t *testing.T) (rules []alert) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	readYAML(t, &file, prometheusFolder, "cordon.rules.yaml")
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

// The alerts are those of docs/operations.md, about the metric that it names, and each has a test that fires and one
// that stays silent.
func TestAlerts(t *testing.T) {
	_, lines := codeBlocks(t, "operations.md")
	row := regexp.MustCompile("^\\| `(Cordon[A-Za-z]+)` \\| `([a-z_]+)` \\|")
	documented := map[string]string{}
	for _, l := range lines {
		if m := row.FindStringSubmatch(l); m != nil {
			documented[m[1]] = m[2]
		}
	}
	fires, silent := testedAlerts(t)
	var names []string
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		names = append(names, r.Alert)
		if metric, ok := documented[r.Alert]; !ok || !strings.Contains(r.Expr, strings.TrimSuffix(metric, "_total")) && !strings.Contains(r.Expr, recordedFrom(metric)) {
			t.Errorf("%s is documented (%t) with metric %s, and its rule is %s", r.Alert, ok, metric, r.Expr)
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s has labels %v and annotations %v", r.Alert, r.Labels, r.Annotations)
		}
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("%s has a test that fires (%t) and one that stays silent (%t)", r.Alert, fires[r.Alert], silent[r.Alert])
		}
	}
	for name := range documented {
		if !slices.Contains(names, name) {
			t.Errorf("docs/operations.md lists %s, which is no rule", name)
		}
	}
	t.Run("promtool", func(t *testing.T) {
		promtool(t, "check", "rules", "cordon.rules.yaml")
		promtool(t, "check", "config", "prometheus.yaml")
		promtool(t, "check", "config", "--syntax-only", filepath.Join("..", "compose", "prometheus.yaml"))
		promtool(t, "test", "rules", "cordon.rules.test.yaml", "cordon.rules.days.test.yaml")
	})
}

// recordedFrom is the beginning of the names of recording rules about a metric of exporters.
func recordedFrom(metric string) string {
	name := strings.TrimSuffix(strings.TrimPrefix(metric, "cordon_collector_"), "_total")
	return "cordon:" + name + ":"
}

// testedAlerts gives the alerts of which a test expects that they fire, and those of which one expects silence.
func testedAlerts(t *testing.T) (fires, silent map[string]bool) {
	t.Helper()
	fires, silent = map[string]bool{}, map[string]bool{}
	for _, name := range []string{"cordon.rules.test.yaml", "cordon.rules.days.test.yaml"} {
		var file struct {
			Tests []struct {
				Tests []struct {
					Name     string `yaml:"alertname"`
					Expected []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		readYAML(t, &file, prometheusFolder, name)
		for _, group := range file.Tests {
			for _, test := range group.Tests {
				if len(test.Expected) > 0 {
					fires[test.Name] = true
				} else {
					silent[test.Name] = true
				}
			}
		}
	}
	return fires, silent
}

// promtool runs Prometheus's own checker; without it the test skips, in continuous integration it fails.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is not installed")
		}
		t.Skip("promtool is not installed (Debian: apt-get install prometheus), so no alert was tried")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = prometheusFolder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// metricName matches a metric of Cordon's, or of its process, in an expression.
var metricName = regexp.MustCompile(`\b(cordon|process)_[a-z_]+`)

// metricsNamed are the metrics in the expressions of rules and boards.
func metricsNamed(t *testing.T) map[string]string {
	t.Helper()
	named := map[string]string{}
	for _, r := range readRules(t) {
		for _, m := range metricName.FindAllString(r.Expr, -1) {
			named[m] = "rule " + r.Alert + r.Record
		}
	}
	for file, panels := range readBoards(t) {
		for _, p := range panels {
			for _, q := range p.Targets {
				for _, m := range metricName.FindAllString(q.Expr, -1) {
					named[m] = file + ", " + p.Title
				}
			}
		}
	}
	return named
}

// testMetrics looks for every metric that rules, boards and docs/operations.md name among those of a cordon that exporters
// have sent to, and that has a proposal in force.
func testMetrics(t *testing.T, a addresses, dir string) {
	id, err := a.query("SELECT id FROM proposals LIMIT 1")
	if err != nil {
		t.Fatal(err)
	}
	cordon(t, nil, "proposals", "accept", id, "--data-dir", dir)
	named := metricsNamed(t)
	_, lines := codeBlocks(t, "operations.md")
	for _, m := range regexp.MustCompile("`(cordon_[a-z_]+)`").FindAllStringSubmatch(strings.Join(lines, "\n"), -1) {
		named[m[1]] = "docs/operations.md"
	}
	if len(named) < 30 {
		t.Fatalf("%d metrics are named", len(named))
	}
	eventually(t, patience, "the metrics that are named", func() error {
		lines := strings.Join(a.metrics(t), "\n")
		for _, name := range slices.Sorted(maps.Keys(named)) {
			if !regexp.MustCompile(`(?m)^(# TYPE )?` + name + `[{ ]`).MatchString(lines) {
				return fmt.Errorf("%s names %s, which there is not", named[name], name)
			}
		}
		return nil
	})
}
