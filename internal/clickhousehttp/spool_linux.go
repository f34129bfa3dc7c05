package clickhousehttp

import (
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile makes a file that lives in memory.
func memoryFile(string) (*os.File, error) {
	fd, err := unix.MemfdCreate("cordon-body", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), "cordon-body"), nil
}
