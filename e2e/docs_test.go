package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shownOnly are the languages of blocks that cannot run here: transcripts,
// configurations of devices, commands of the system and of other programs.
var shownOnly = []string{"text", "console"}

// preparedGroups and preparedFlows are what the examples of a document take for granted.
const preparedGroups = `categories:
  - name: role
    groups:
      - {name: payments, prefixes: [10.0.1.0/24]}
      - {name: db, prefixes: [10.0.2.0/24]}
      - {name: ops, prefixes: [10.0.3.0/24]}
      - {name: dns, prefixes: [10.0.4.53]}
      - {name: jump, prefixes: [10.0.5.5]}
`

const preparedFlows = "src_ip,dst_ip,proto,dst_port\n10.0.1.1,10.0.2.1,tcp,5432\n10.0.3.1,10.0.2.1,tcp,22\n"

// TestDocs runs every example of README and docs as a reader would paste it:
// shell blocks, groups files, policies, configurations, flow CSV. The queries
// of the cookbook run in TestCookbook, which has a store for them. One running
// cordon serves all documents.
func TestDocs(t *testing.T) {
	dir := t.TempDir()
	_, a := up(t, dir)
	flows := filepath.Join(t.TempDir(), "flows.csv")
	if err := os.WriteFile(flows, []byte(preparedFlows), 0o600); err != nil {
		t.Fatal(err)
	}
	cordon(t, nil, "import", "--data-dir", dir, flows)
	documents, err := filepath.Glob(filepath.Join("..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append([]string{filepath.Join("..", "README.md")}, documents...) {
		d := document{path: path, folder: t.TempDir(), dir: dir, a: a}
		d.write(t, "groups.yaml", preparedGroups)
		name, err := filepath.Rel(filepath.Join("..", "docs"), path)
		if err != nil {
			t.Fatal(err)
		}
		blocks, _ := codeBlocks(t, name)
		t.Run(filepath.Base(path), func(t *testing.T) {
			for _, b := range blocks {
				d.try(t, b)
			}
		})
	}
}

// document is a document whose examples run in a folder of their own.
type document struct {
	path, folder, dir string
	a                 addresses
}

func (d document) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// try runs a block by its language. A language that is not known here fails, so
// that no example is left out by a slip.
func (d document) try(t *testing.T, b codeBlock) {
	cookbook := filepath.Base(d.path) == "sql-cookbook.md"
	switch {
	case slices.Contains(shownOnly, b.lang):
	case cookbook && (slices.Contains([]string{"sql", "python", "go"}, b.lang) || b.lang == "sh" && strings.Contains(b.text, "curl")):
	case b.lang == "json":
		text := strings.TrimSpace(b.text)
		if !strings.HasPrefix(text, "{") {
			text = "{" + text + "}"
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%s:%d: not valid JSON", d.path, b.line)
		}
	case b.lang == "csv" && strings.Contains(b.text, "category,group,prefix"):
		d.write(t, "groups.csv", b.text+"\n")
		d.run(t, b, "cordon groups lint groups.csv")
	case b.lang == "csv":
		d.write(t, "flows.csv", b.text+"\n")
		d.run(t, b, "cordon import flows.csv")
	case b.lang == "yaml":
		d.tryYAML(t, b)
	case b.lang == "sh":
		d.run(t, b, strings.ReplaceAll(b.text, "127.0.0.1:4739", d.a.UDP[0]))
	default:
		t.Errorf("%s:%d: nothing says how to run a block of language %q; one that cannot run is %s", d.path, b.line, b.lang, strings.Join(shownOnly, " or "))
	}
}

// ruleNames matches a file with names of rules: an id in each line.
var ruleNames = regexp.MustCompile(`^[0-9a-f]{12}: `)

// tryYAML runs a groups file through lint, a policy as guardrails and as policy
// in force, limits and names of rules through the commands that take them, and a configuration through the configuration's check.
func (d document) tryYAML(t *testing.T, b codeBlock) {
	has := func(key string) bool { return strings.Contains("\n"+b.text, "\n"+key+":") }
	switch {
	case has("categories"):
		d.write(t, "groups.yaml", b.text+"\n")
		d.run(t, b, "cordon groups lint groups.yaml")
	case has("sources"): // Their place is the reader's choice.
		d.write(t, "sources.yaml", b.text+"\n")
		d.run(t, b, "cordon groups lint sources.yaml")
	case has("rules"):
		d.write(t, "policy.yaml", b.text+"\n")
		d.run(t, b, "cordon generate-rules --groups groups.yaml --guardrails policy.yaml --existing policy.yaml")
	case has("platform"): // Room of a device.
		d.write(t, "limits.yaml", b.text+"\n")
		d.write(t, "running.yaml", "apiVersion: cordon/v1\nkind: Policy\nrules: []\n")
		d.run(t, b, "cordon policy diff running.yaml running.yaml --limits limits.yaml")
	case ruleNames.MatchString(b.text):
		d.write(t, "names.yaml", b.text+"\n")
		d.run(t, b, "cordon generate-rules --groups groups.yaml --names names.yaml")
	default:
		d.write(t, "cordon.yaml", b.text+"\n")
		// Certificates and credentials lie where the reader's are.
		d.run(t, b, "sed -i 's#/etc/cordon/#./#' cordon.yaml; : >tls.crt; : >tls.key; : >exporters-ca.crt; : >nats.creds; cordon config check cordon.yaml; rm cordon.yaml")
	}
}

// run has a shell run commands in the document's folder.
func (d document) run(t *testing.T, b codeBlock, commands string) {
	t.Helper()
	cmd := exec.Command("sh", "-euc", commands)
	cmd.Dir = d.folder
	cmd.Env = append(environment("CORDON_DATA_DIR="+d.dir), "PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s:%d: %v\n%s", d.path, b.line, err, out)
	}
}
