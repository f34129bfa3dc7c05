//go:build unix

package main

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// writable says whether this user may make files in a folder.
func writable(dir string) bool {
	const writeAndEnter = 2 | 1 // W_OK and X_OK of access(2)
	err := syscall.Access(dir, writeAndEnter)
	return err != syscall.EACCES && err != syscall.EPERM
}

// owner is the name of a folder's owner, or the number where it has no name.
func owner(dir string) string {
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	id := strconv.FormatUint(uint64(st.Uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
