package chdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMissingLibrary names where the library was looked for.
func TestMissingLibrary(t *testing.T) {
	t.Setenv(PathEnv, "")
	t.Setenv("XDG_CACHE_HOME", "/nowhere/cache")
	t.Chdir("/")
	_, err := FindLibrary("")
	if err == nil || !containsAll(err.Error(), "make deps", PathEnv, "/nowhere/cache/cordon/chdb/"+Version, "/.cache/chdb/"+Version, filepath.Dir(os.Args[0])) {
		t.Errorf("error %v", err)
	}
	for _, path := range []string{"/nowhere/libso", os.TempDir()} {
		if _, err := FindLibrary(path); err == nil || !containsAll(err.Error(), path, "make deps") {
			t.Errorf("%s: error %v", path, err)
		}
	}
	bad := filepath.Join(t.TempDir(), "libso")
	if err := os.WriteFile(bad, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(bad); err == nil || !containsAll(err.Error(), bad, "make deps") {
		t.Errorf("error %v", err)
	}
}

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
