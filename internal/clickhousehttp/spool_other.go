//go:build !linux

package clickhousehttp

import "os"

// memoryFile makes an unnamed file where the system has none in memory.
func memoryFile(dir string) (*os.File, error) { return unnamedFile(dir) }
