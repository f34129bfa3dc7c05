package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts call cordon, which is this test binary.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"cordon": func() {
			os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// The scripts of testdata/script are sessions at a command line: what is
// typed, what is printed, which exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			// The scripts run in a folder of their own, far from the library.
			lib := os.Getenv("CORDON_CHDB_LIBRARY")
			if lib == "" {
				if found, _ := filepath.Glob(filepath.Join("..", "..", ".cache", "chdb", "*", "libchdb.so")); len(found) > 0 {
					var err error
					if lib, err = filepath.Abs(found[len(found)-1]); err != nil {
						return err
					}
				}
			}
			e.Setenv("CORDON_CHDB_LIBRARY", lib)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("CORDON_LOG_LEVEL", "warn")
			return nil
		},
	})
}
