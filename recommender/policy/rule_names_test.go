package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRenamesRules(t *testing.T) {
	names := RuleNames{"aaaaaaaaaaaa": "shop", "cccccccccccc": "bank"}
	rules := []Rule{{ID: "aaaaaaaaaaaa", Name: "web-to-app"}, {ID: "bbbbbbbbbbbb", Name: "shop"}, {ID: "dddddddddddd", Name: "other"}}
	if !names.Rename(rules) || rules[0].Name != "shop" || rules[1].Name != "shop-bbbb" || rules[2].Name != "other" {
		t.Errorf("%q %q %q", rules[0].Name, rules[1].Name, rules[2].Name)
	}
	if names.Rename(rules) {
		t.Error("the names are there, and something has changed")
	}
	same := RuleNames{"aaaaaaaaaaaa": "x", "bbbbbbbbbbbb": "x"}
	if same.Rename(rules); rules[0].Name == rules[1].Name {
		t.Errorf("two rules are called %s", rules[0].Name)
	}
}

func TestReadRuleNames(t *testing.T) {
	name := filepath.Join(t.TempDir(), "names.yaml")
	for text, want := range map[string]string{
		"":                                   "",
		"4f2c0a9be611: web to database\n":    "",
		"- a\n":                              ":1: a map of ids",
		"web: x\n":                           `:1: "web" is no id of a rule`,
		"4f2c0a9be611: ''\n":                 ":1: rule 4f2c0a9be611: the name \"\" is empty",
		"4f2c0a9be611: [a]\n":                ":1: rule 4f2c0a9be611: ",
		"4f2c0a9be611: a\n4f2c0a9be612: a\n": ":2: rules 4f2c0a9be611 and 4f2c0a9be612 have the same name",
		"4f2c0a9be611: a\n4f2c0a9be611: b\n": "second time",
		"4f2c0a9be611: \"a\\nb\"\n":          "cannot be printed",
		"a: [\n":                             "names.yaml:",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadRuleNames(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
