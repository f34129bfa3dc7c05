package sources

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"cordon/categories"
)

// Limits on what a source may give, so that a broken one costs a bounded amount of memory and time.
const (
	maxBytes   = 512 << 20
	maxTime    = 2 * time.Minute
	maxMessage = 500 // bytes of what a server or a command says of a failure
)

type fileSource struct{ s *categories.Source }

func (f *fileSource) Snapshot(context.Context) (*Snapshot, error) {
	data, err := contents(f.s.Address)
	if err != nil {
		return nil, err
	}
	return parse(f.s, data)
}

// contents reads a file.
func contents(path string) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r)
}

// readAll reads what is not more than a source may give.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err == nil && len(data) > maxBytes {
		err = fmt.Errorf("it is larger than %d MiB", maxBytes>>20)
	}
	return data, err
}

type commandSource struct{ s *categories.Source }

func (c *commandSource) Snapshot(ctx context.Context) (*Snapshot, error) {
	data, err := output(ctx, c.s.Command)
	if err != nil {
		return nil, err
	}
	return parse(c.s, data)
}

// output runs a command, without a shell, and reads what it writes to standard output.
func output(ctx context.Context, command []string) ([]byte, error) {
	within, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	cmd := exec.CommandContext(within, command[0], command[1:]...)
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	data, readErr := readAll(out)
	if readErr != nil {
		cancel()
	}
	if err := cmd.Wait(); err != nil && readErr == nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		} else if within.Err() != nil {
			err = fmt.Errorf("it was not done within %s", maxTime)
		}
		return nil, fmt.Errorf("command %s: %w%s", command[0], err, said(stderr.Bytes()))
	}
	return data, readErr
}

// said gives the last of what a command or a server wrote, on one line.
func said(data []byte) string {
	text := strings.Join(strings.Fields(string(data)), " ")
	if text == "" {
		return ""
	}
	if len(text) > maxMessage {
		text = "..." + text[len(text)-maxMessage:]
	}
	return ": " + strings.ToValidUTF8(text, "?")
}
