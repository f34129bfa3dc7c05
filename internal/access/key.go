package access

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// KeyFile, in the data folder, is the password of KeyUser, readable by the owner alone.
const KeyFile = "http.key"

// ReadKey gives the key of a data folder, or "" where there is none that can be read.
func ReadKey(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, KeyFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// MakeKey gives the key of a data folder, and makes folder and key the first time. Where several processes make one at
// the same time, they agree on one of them.
func MakeKey(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("key of the HTTP server: %w", err)
	}
	if key := ReadKey(dir); key != "" {
		return key, nil
	}
	random := make([]byte, 24)
	rand.Read(random) // never fails
	f, err := os.CreateTemp(dir, ".http-key-")
	if err != nil {
		return "", fmt.Errorf("key of the HTTP server: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintln(f, hex.EncodeToString(random))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Link(f.Name(), filepath.Join(dir, KeyFile))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("key of the HTTP server: %w", err)
	}
	return ReadKey(dir), nil
}
