package chdb

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Version is the release of libchdb that Cordon is built and tested
// against; scripts/fetch-chdb.sh fetches it.
const Version = "26.5.3"

// PathEnv names the environment variable that points to the library.
const PathEnv = "CORDON_CHDB_LIBRARY"

const libraryFile = "libchdb.so"

// FindLibrary returns the path of libchdb. A configured path, or else the
// environment variable CORDON_CHDB_LIBRARY, is taken as it is; without either,
// the library is looked for beside the executable, in the cache folder of the
// source tree that the executable lies in (bin/cordon), in the user's cache
// folder and in the cache folder of the working directory or of a folder above it.
func FindLibrary(configured string) (string, error) {
	for _, explicit := range []struct{ path, from string }{
		{configured, "the configured path"},
		{os.Getenv(PathEnv), "environment variable " + PathEnv},
	} {
		if explicit.path == "" {
			continue
		}
		if err := isFile(explicit.path); err != nil {
			return "", fmt.Errorf("ClickHouse library, %s: %w (`make deps` fetches it)", explicit.from, err)
		}
		return filepath.Abs(explicit.path)
	}

	cached := filepath.Join("chdb", Version, libraryFile)
	var places []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dir := filepath.Dir(exe)
		places = append(places, filepath.Join(dir, libraryFile))
		if filepath.Base(dir) == "bin" {
			places = append(places, filepath.Join(filepath.Dir(dir), ".cache", cached))
		}
	}
	if dir, err := os.UserCacheDir(); err == nil {
		places = append(places, filepath.Join(dir, "cordon", cached))
	}
	if dir, err := os.Getwd(); err == nil {
		for {
			places = append(places, filepath.Join(dir, ".cache", cached))
			// Above the working directory only as far as the root of the source
			// tree, so that tests find the library and strangers' folders stay out.
			if isFile(filepath.Join(dir, "go.mod")) == nil || !insideModule(dir) {
				break
			}
			dir = filepath.Dir(dir)
		}
	}
	for _, p := range places {
		if isFile(p) == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("ClickHouse library %s %s not found; run `make deps`, or set %s. Looked at:\n  %s",
		libraryFile, Version, PathEnv, strings.Join(places, "\n  "))
}

// insideModule tells whether a folder above dir holds a go.mod.
func insideModule(dir string) bool {
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		if isFile(filepath.Join(parent, "go.mod")) == nil {
			return true
		}
	}
	return false
}

func isFile(path string) error {
	fi, err := os.Stat(path)
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	return err
}
