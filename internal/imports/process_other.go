//go:build !unix

package imports

import (
	"os"
	"strconv"
)

// processRuns says whether a process of this host runs.
func processRuns(pid string) bool {
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 0 {
		return false
	}
	p, err := os.FindProcess(n)
	if err != nil {
		return false
	}
	p.Release()
	return true
}
