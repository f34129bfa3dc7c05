//go:build !linux

package clickhousehttp

// machineMemory is a guess where the machine's memory is not read.
func machineMemory() int64 { return 8 << 30 }
