package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	r, err := os.Open(f.s.Address)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := readAll(r)
	if err != nil {
		return nil, err
	}
	return parse(f.s, data)
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

// Snapshot runs the command, without a shell, and reads what it writes to standard output.
func (c *commandSource) Snapshot(ctx context.Context) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.s.Command[0], c.s.Command[1:]...)
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
			err = fmt.Errorf("it was not done within %s", maxTime)
		}
		return nil, fmt.Errorf("command %s: %w%s", c.s.Command[0], err, said(stderr.Bytes()))
	}
	if readErr != nil {
		return nil, readErr
	}
	return parse(c.s, data)
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

type httpSource struct {
	s      *categories.Source
	client *http.Client
}

func newHTTPSource(s *categories.Source) (*httpSource, error) {
	if !strings.HasPrefix(s.Address, "http://") && !strings.HasPrefix(s.Address, "https://") {
		return nil, fmt.Errorf("source %q: address %q begins with neither http:// nor https://", s.Name, s.Address)
	}
	return &httpSource{s, &http.Client{Timeout: maxTime, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("too many redirections")
		}
		// A secret is for the server that it was given for, and never goes from TLS to plain text.
		if r.URL.Host != via[0].URL.Host || r.URL.Scheme == "http" && via[0].URL.Scheme == "https" {
			for _, h := range s.Headers {
				r.Header.Del(h.Name)
			}
		}
		return nil
	}}}, nil
}

func (h *httpSource) Snapshot(ctx context.Context) (*Snapshot, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.s.Address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json, text/csv;q=0.9, */*;q=0.1")
	for _, x := range h.s.Headers {
		value, err := secret(&x)
		if err != nil {
			return nil, err
		}
		r.Header.Set(x.Name, strings.TrimSpace(x.Prefix+" "+value))
	}
	answer, err := h.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	data, err := readAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s%s", h.s.Address, answer.Status, said(data[:min(len(data), maxMessage)]))
	}
	if err != nil { // half an answer says nothing of what is in the other half
		return nil, fmt.Errorf("read the answer of %s: %w", h.s.Address, err)
	}
	return parse(h.s, data)
}

// secret reads the value of a header from its file or from the environment.
func secret(h *categories.SourceHeader) (string, error) {
	if h.File != "" {
		data, err := os.ReadFile(h.File)
		if err != nil {
			return "", fmt.Errorf("header %s: %w", h.Name, err)
		}
		return strings.TrimSpace(string(data)), nil
	}
	value, ok := os.LookupEnv(h.Env)
	if !ok {
		return "", fmt.Errorf("header %s: the environment has no variable %s", h.Name, h.Env)
	}
	return value, nil
}
