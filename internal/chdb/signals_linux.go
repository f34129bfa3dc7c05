package chdb

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelSigaction has room for the kernel's struct sigaction, which has 32
// bytes on amd64 and arm64. It is only carried from one call to the next.
type kernelSigaction [64]byte

// sigsetSize is the size of the kernel's signal set in bytes.
const sigsetSize = 8

// libraryResets are the signals whose handlers libchdb puts back to the
// default when its own handlers are switched off.
var libraryResets = [...]unix.Signal{
	unix.SIGABRT, unix.SIGSEGV, unix.SIGILL, unix.SIGBUS,
	unix.SIGSYS, unix.SIGFPE, unix.SIGTSTP, unix.SIGTRAP,
}

// signalHandlers are the handlers that the Go runtime installed for the
// signals that the library resets.
type signalHandlers [len(libraryResets)]kernelSigaction

func saveSignalHandlers() signalHandlers {
	var saved signalHandlers
	for i, sig := range libraryResets {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&saved[i])), sigsetSize, 0, 0)
	}
	return saved
}

func (s *signalHandlers) restore() {
	for i, sig := range libraryResets {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&s[i])), 0, sigsetSize, 0, 0)
	}
}
