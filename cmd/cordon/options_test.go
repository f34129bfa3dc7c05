package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cordon/recommender/policy"

	"github.com/spf13/pflag"
)

// Every option is a flag of generate-rules with its help, and docs/proposal.md says what a document's key for it means.
func TestOptionsAreFlags(t *testing.T) {
	docs, err := os.ReadFile(filepath.Join("..", "..", "docs", "proposal.md"))
	if err != nil {
		t.Fatal(err)
	}
	var g generateFlags
	f := pflag.NewFlagSet("generate-rules", pflag.ContinueOnError)
	g.proposalFlags(f)
	for _, o := range policy.Options() {
		flag := f.Lookup(o.Flag)
		if flag == nil {
			t.Errorf("generate-rules has no --%s", o.Flag)
			continue
		}
		if flag.Usage != o.Help || flag.NoOptDefVal != o.Bare {
			t.Errorf("--%s is %q (%q without a value), not %q (%q)", o.Flag, flag.Usage, flag.NoOptDefVal, o.Help, o.Bare)
		}
		if !strings.Contains(string(docs), "`"+o.Key+"`") {
			t.Errorf("docs/proposal.md does not name `%s` of settings", o.Key)
		}
		if o.Values == nil {
			continue
		}
		last := o.Values[len(o.Values)-1]
		if err := f.Set(o.Flag, last); err != nil {
			t.Errorf("--%s %s: %v", o.Flag, last, err)
		}
		if _, ok := optionWords()[o.Flag]; !ok || *o.Field(&g.settings.Settings).(*string) != last {
			t.Errorf("--%s is not completed, or its value does not come to the settings", o.Flag)
		}
	}
}
