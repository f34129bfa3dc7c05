package access

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// tokenFile is a file of bearer tokens, one a line: a name, a role, and the SHA-256 of the token in hexadecimal digits.
// Lines that begin with # and empty ones are left out. A changed file is read again.
type tokenFile struct {
	path string

	mu    sync.Mutex
	at    time.Time
	size  int64
	known map[string]Identity // keys are the hashes of tokens
}

func (f *tokenFile) read() (map[string]Identity, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if f.known != nil && st.ModTime().Equal(f.at) && st.Size() == f.size {
		return f.known, nil
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	known, err := parseTokens(f.path, string(data))
	if err != nil {
		return nil, err
	}
	f.known, f.at, f.size = known, st.ModTime(), st.Size()
	return known, nil
}

func parseTokens(path, text string) (map[string]Identity, error) {
	known := map[string]Identity{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		if len(words) != 3 {
			return nil, fmt.Errorf("%s:%d: a line has a name, a role and the SHA-256 of the token, such as `grafana viewer 9f86d0…`", path, i+1)
		}
		role := Role(words[1])
		if role != Viewer && role != Editor {
			return nil, fmt.Errorf("%s:%d: role %q: use %s or %s", path, i+1, words[1], Viewer, Editor)
		}
		sum := strings.ToLower(strings.TrimPrefix(words[2], "sha256:"))
		if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 {
			return nil, fmt.Errorf("%s:%d: the hash of %s is not a SHA-256 of 64 hexadecimal digits: printf %%s TOKEN | sha256sum gives it", path, i+1, words[0])
		}
		known[sum] = Identity{words[0], role}
	}
	return known, nil
}
