package e2e

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// pictures are those of the README: the matrix of the demo's lab with the box of a rule, in light and in dark.
var pictures = map[string]bool{"matrix-light.png": false, "matrix-dark.png": true}

// mostPictureBytes is what one may have: the README is read over slow lines, too.
const mostPictureBytes = 200_000

// The pictures that the README shows are there, and small.
func TestPictures(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`docs/pictures/[a-z-]+\.png`).FindAllString(string(readme), -1)
	if len(shown) != len(pictures) {
		t.Errorf("README.md shows %v, make picture makes %d pictures", shown, len(pictures))
	}
	for _, path := range shown {
		data, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Fatalf("%v; make picture makes it", err)
		}
		size, err := png.DecodeConfig(bytes.NewReader(data))
		if err != nil || size.Width < 600 || len(data) > mostPictureBytes {
			t.Errorf("%s is %d pixels wide and has %d bytes, at most %d are allowed (%v)", path, size.Width, len(data), mostPictureBytes, err)
		}
	}
}

// TestDrawPictures makes the pictures anew, where CORDON_PICTURES says so: of the lab that the demo shows, with the pages and
// a real browser.
func TestDrawPictures(t *testing.T) {
	if os.Getenv("CORDON_PICTURES") == "" {
		t.Skip("make picture draws the pictures of the README")
	}
	x := explore(t)
	b := openBrowser(t)
	if _, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 1100, Height: 900, DeviceScaleFactor: 1.5}); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join("..", "docs", "pictures")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, dark := range pictures {
		b.dark(dark)
		b.open(fmt.Sprintf("http://%s/proposals/%s?rule=%s", x.HTTP, x.id, x.proposal.Rules[0].ID))
		b.settle()
		b.until(`document.querySelector("canvas")?.dataset.boxes !== ""`)
		picture, err := chromedp.Run(b.ctx, chromedp.Screenshot(".split"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
