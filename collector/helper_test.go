package collector

import (
	"fmt"
	"os"
	"testing"
)

// helperVariable makes the test binary one of the processes that a test starts
// beside itself.
const helperVariable = "CORDON_COLLECTOR_TEST_HELPER"

var helpers = map[string]func(){"collector": helperCollector}

func TestMain(m *testing.M) {
	if run := helpers[os.Getenv(helperVariable)]; run != nil {
		run()
		return
	}
	os.Exit(m.Run())
}

// helperMust ends a helper on an error.
func helperMust(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}
