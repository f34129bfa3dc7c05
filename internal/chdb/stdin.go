package chdb

import (
	"fmt"
	"os"

	"golang.org/x/term"
)

// MoveStdin keeps the process's standard input away from the engine: it gives
// [os.Stdin] another descriptor and leaves the null device at the old one.
//
// Behind the file of an INSERT … FROM INFILE the library reads descriptor 0, as
// a client would, and takes what is there for more rows; from a pipe that
// nobody writes to it waits for ever. A terminal stays: the library leaves it
// alone, and line editing needs it where it is. Call it first thing in main.
func MoveStdin() error {
	if term.IsTerminal(0) {
		return nil
	}
	moved, err := duplicate(0)
	if err != nil {
		return nil // it is closed, so there is nothing to read
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	defer null.Close()
	if err := duplicateTo(int(null.Fd()), 0); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	os.Stdin = os.NewFile(uintptr(moved), os.Stdin.Name())
	return nil
}
