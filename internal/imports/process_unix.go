//go:build unix

package imports

import (
	"errors"
	"strconv"
	"syscall"
)

// processRuns says whether a process of this host runs.
func processRuns(pid string) bool {
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 0 {
		return false
	}
	err = syscall.Kill(n, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
