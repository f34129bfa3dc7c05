package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// dataDirSetting is how to name another data folder.
const dataDirSetting = "--data-dir (data_dir, CORDON_DATA_DIR)"

// checkDataFolder says why the embedded servers cannot be opened on a data folder:
// there is none, and create does not ask for a new one, or it is someone else's.
func checkDataFolder(dir string, create bool) error {
	const hint = "or name the folder with " + dataDirSetting
	_, err := os.Stat(clickhouseDir(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist) && !create:
		return fmt.Errorf("nothing is stored in %s: that folder holds no data of Cordon's; start `cordon up` or `cordon import` there first, %s", dir, hint)
	case errors.Is(err, fs.ErrNotExist):
		return checkOwner(existing(dir), hint)
	case errors.Is(err, fs.ErrPermission):
		return notOwner(existing(dir), hint)
	case err != nil:
		return fmt.Errorf("data_dir: %w", err)
	}
	for _, d := range []string{dir, clickhouseDir(dir)} {
		if err := checkOwner(d, hint); err != nil {
			return err
		}
	}
	return nil
}

// existing is a folder, or the nearest one above it that can be seen.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// checkOwner says whose a folder is that this user cannot write to.
func checkOwner(dir, hint string) error {
	if writable(dir) {
		return nil
	}
	return notOwner(dir, hint)
}

func notOwner(dir, hint string) error {
	if name := owner(dir); name != "" {
		return fmt.Errorf("%s belongs to user %s, and this user may not write there: run as its owner (sudo -u %s cordon ...), %s", dir, name, name, hint)
	}
	return fmt.Errorf("%s cannot be written by this user: run as its owner, %s", dir, hint)
}
