package main

import (
	"strings"
	"testing"
)

func TestJoinNumbers(t *testing.T) {
	for line, want := range map[string]string{
		"generate-rules --recurring 3 -g x":                     "generate-rules --recurring=3 -g x",
		"generate-rules --recurring=3 --min-hours 2":            "generate-rules --recurring=3 --min-hours 2",
		"generate-rules --recurring --port-ranges --groups 3":   "generate-rules --recurring --port-ranges --groups 3",
		"generate-rules --recurring x":                          "generate-rules --recurring x",
		"generate-rules --generalise 0.1 --exclude-scanners":    "generate-rules --generalise=0.1 --exclude-scanners",
		"groups suggest --port-ranges 20 --exclude-scanners 50": "groups suggest --port-ranges=20 --exclude-scanners=50",
		"--data-dir x groups suggest --recurring 2":             "--data-dir x groups suggest --recurring=2",
		"generate-rules -- --recurring 3":                       "generate-rules -- --recurring 3",
		"verify 3":                                              "verify 3",
		"nonsense --recurring 3":                                "nonsense --recurring 3",
	} {
		a := &app{}
		if got := strings.Join(joinNumbers(a.rootCommand(), strings.Fields(line)), " "); got != want {
			t.Errorf("%s becomes %s, want %s", line, got, want)
		}
	}
}
