package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// writeOutput writes to a file or, without a name, to standard output.
func (a *app) writeOutput(output string, data []byte) error {
	if output == "" {
		_, err := a.stdout.Write(data)
		return err
	}
	return writeFile(output, data)
}

// writeFile writes a file completely or not at all. What is no regular file,
// such as a device or a pipe, is written to instead of being replaced.
func writeFile(name string, data []byte) error { return writeFileBy(name, bytesTo(data)) }

// writeFileBy is writeFile for what need not be held as a whole.
func writeFileBy(name string, write func(io.Writer) error) error {
	var f outputFiles
	defer f.discard()
	if err := f.stage(name, write); err != nil {
		return err
	}
	return f.commit()
}

func bytesTo(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// outputFiles are written beside their places, under hidden names, until all of them are complete, and then put in place one
// by one. A process that is killed leaves each file as it was or as it is to be.
type outputFiles struct {
	staged []stagedFile
}

type stagedFile struct{ temporary, name string }

// stage writes a file that commit puts in place. It writes at once to what is no regular file.
func (f *outputFiles) stage(name string, write func(io.Writer) error) error {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		out, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return outputError(name, err)
		}
		return outputError(name, errors.Join(write(out), out.Close()))
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return outputError(name, err)
	}
	f.staged = append(f.staged, stagedFile{tmp.Name(), name})
	return outputError(name, errors.Join(write(tmp), tmp.Chmod(0o644), tmp.Close()))
}

// commit puts the files in place.
func (f *outputFiles) commit() error {
	for len(f.staged) > 0 {
		if err := os.Rename(f.staged[0].temporary, f.staged[0].name); err != nil {
			return outputError(f.staged[0].name, err)
		}
		f.staged = f.staged[1:]
	}
	return nil
}

// discard removes what was not put in place.
func (f *outputFiles) discard() {
	for _, s := range f.staged {
		_ = os.Remove(s.temporary)
	}
}

// outputError says that an output could not be written; it is nil for no error.
func outputError(name string, err error) error {
	if err == nil {
		return nil
	}
	// These name the file that stands in for a while.
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	} else if link, ok := errors.AsType[*os.LinkError](err); ok {
		err = link.Err
	}
	return usagef("--output %s: %w", name, err)
}
