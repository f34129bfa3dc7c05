//go:build !linux

package chdb

import "golang.org/x/sys/unix"

func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }

func duplicateTo(from, to int) error { return unix.Dup2(from, to) }
