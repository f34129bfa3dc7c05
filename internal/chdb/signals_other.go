//go:build !linux

package chdb

// signalHandlers keeps nothing where the raw system call is not available: a
// fault in Go code then ends the process without a Go stack trace.
type signalHandlers struct{}

func saveSignalHandlers() signalHandlers { return signalHandlers{} }

func (*signalHandlers) restore() {}
