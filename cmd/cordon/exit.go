package main

import (
	"context"
	"errors"
	"fmt"
)

// Exit codes, as the contract has them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2 // wrong usage or bad input
	exitUnreachable = 3 // a server could not be reached

	exitInterrupted = 130 // Ctrl-C, as shells have it: 128 and the signal's number
)

// codeError is an error that decides the exit code.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// usageError marks err as wrong usage or bad input.
func usageError(err error) error {
	if err == nil {
		return nil
	}
	return &codeError{exitUsage, err}
}

func usagef(format string, args ...any) error { return usageError(fmt.Errorf(format, args...)) }

// unreachable marks err as a server that could not be reached.
func unreachable(err error) error {
	if err == nil {
		return nil
	}
	return &codeError{exitUnreachable, err}
}

// report prints err, if any, and gives the exit code. Whatever fails after an
// interrupt failed because of it.
func (a *app) report(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.stderr, "cordon: interrupted")
		return exitInterrupted
	}
	code := exitFailed
	var ce *codeError
	if errors.As(err, &ce) {
		code = ce.code
	}
	fmt.Fprintf(a.stderr, "cordon: %v\n", err)
	return code
}
