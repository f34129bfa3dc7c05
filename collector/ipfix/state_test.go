package ipfix

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cordon/internal/iana"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// taught gives a Decoder that knows templates and options of two exporters.
func taught(t testing.TB) *Decoder {
	t.Helper()
	d := New(Config{})
	w := newWriter(7, testExport)
	learn := func(src Source, sets ...[]byte) {
		if err := d.Message(src, w.message(sets...), testRecv, new(discard)); err != nil {
			t.Fatal(err)
		}
	}
	uptimes, _ := encode(w, 257, append(ends(iana.TCP, 1, 2), num(22, 4, 0), num(21, 4, 0), num(234, 4, 0), text4(82, "")))
	learn(testSource, w.template(256, pair), uptimes)
	learn(testSource, w.optionsTemplate(300, 1, []field{ie(144, 4), ie(34, 4), ie(160, 8), ie(130, 4)}),
		set(300, bytes.Join([][]byte{uintBytes(1, 4), uintBytes(100, 4), uintBytes((testExport-100)*1000, 8), {192, 0, 2, 77}}, nil)))
	learn(testSource, w.optionsTemplate(301, 1, []field{ie(234, 4), ie(236, 8)}), set(301, append(uintBytes(9, 4), "green\x00\x00\x00"...)))
	learn(testSource, w.optionsTemplate(302, 1, []field{ie(10, 4), ie(82, 8)}), set(302, append(uintBytes(3, 4), "Ethernet"...)))
	learn(testSource, w.optionsTemplate(304, 1, []field{ie(149, 4), ie(300, 8)}), set(304, append(uintBytes(7, 4), "leaf1\x00\x00\x00"...)))
	learn(testSource, w.optionsTemplate(303, 2, []field{ie(346, 4), ie(303, 2), ie(341, 4)}), set(303, append(append(uintBytes(35632, 4), 3, 9), "name"...)))
	w.domain = 8
	learn(udpSource("[2001:db8::1]:9995"), w.template(256, pair))
	learn(Source{Addr: testSource.Addr, Transport: TCP, Session: 4}, w.template(256, pair))
	return d
}

// TestRestartOfCollector decodes data after a restart as before it.
func TestRestartOfCollector(t *testing.T) {
	var file bytes.Buffer
	before := taught(t)
	if err := before.Save(&file); err != nil {
		t.Fatal(err)
	}
	after := New(Config{})
	if err := after.Load(bytes.NewReader(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	w := newWriter(7, testExport)
	_, data := encode(w, 257, append(ends(iana.TCP, 40000, 443), num(22, 4, 60_000), num(21, 4, 90_000), num(234, 4, 9), text4(82, "x")))
	var want, got records
	for d, to := range map[*Decoder]*records{before: &want, after: &got} {
		if err := d.Message(testSource, w.message(data), testRecv, to); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1 || got[0].VRF != "green" || got[0].Sampling != 100 || got[0].Start != testTime-40*second {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	// Sessions end with the process.
	if st := after.Stats(); len(st.Sources) != 2 {
		t.Errorf("%d sources", len(st.Sources))
	}
	ignore := cmpopts.IgnoreFields(DomainStats{}, "Counters", "LastMessage", "LastExport", "Skew")
	b, a := before.Stats().Sources, after.Stats().Sources
	if diff := cmp.Diff(b[0].Domains, a[0].Domains, ignore, cmp.AllowUnexported(TemplateStats{}, elementID{}, field{})); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	var again bytes.Buffer
	if err := after.Save(&again); err != nil || again.String() != file.String() {
		t.Errorf("saved again it differs: %v\n%s\n%s", err, file.String(), again.String())
	}
}

// TestLoadKeepsKnown: what a source has announced meanwhile is newer.
func TestLoadKeepsKnown(t *testing.T) {
	var file bytes.Buffer
	if err := taught(t).Save(&file); err != nil {
		t.Fatal(err)
	}
	d := New(Config{})
	w := newWriter(7, testExport)
	var got records
	d.Message(testSource, w.message(w.template(256, []field{ie(12, 4), ie(8, 4)})), testRecv, &got)
	if err := d.Load(&file); err != nil {
		t.Fatal(err)
	}
	d.Message(testSource, w.message(set(256, ab)), testRecv, &got)
	if a := addrs(got); len(a) != 1 || a[0] != "10.0.0.2>10.0.0.1" {
		t.Errorf("%v", a)
	}
}

// TestLoadBounded: a file cannot fill more than messages could.
func TestLoadBounded(t *testing.T) {
	d := New(Config{})
	w := newWriter(7, testExport)
	for i := range 40 {
		src := udpSource(fmt.Sprintf("192.0.2.%d:1", i))
		for id := range uint16(20) {
			d.Message(src, w.message(w.template(256+id, pair)), testRecv+int64(i), new(discard))
		}
	}
	var file bytes.Buffer
	if err := d.Save(&file); err != nil {
		t.Fatal(err)
	}
	small := New(Config{MaxSources: 10, MaxTemplates: 5})
	if err := small.Load(&file); err != nil {
		t.Fatal(err)
	}
	st := small.Stats()
	if len(st.Sources) != 10 || len(st.Sources[0].Domains[0].Templates) != 5 || st.Sources[0].Source.Addr.Addr().String() != "192.0.2.30" {
		t.Errorf("%d sources, the first %+v", len(st.Sources), st.Sources[0])
	}
}

// TestDamagedFile: a file that was damaged anywhere is refused as a whole.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "templates")
	if err := New(Config{}).LoadFile(path); err != nil {
		t.Errorf("no file yet: %v", err)
	}
	if err := taught(t).SaveFile(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files left behind", len(entries))
	}
	check := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		d := New(Config{})
		err := d.LoadFile(path)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %v", what, err)
		}
		if st := d.Stats(); len(st.Sources) != 0 || st.StateBytes != 0 {
			t.Errorf("%s: %d sources were loaded", what, len(st.Sources))
		}
	}
	for n := 0; n < len(good); n += 37 {
		check(fmt.Sprintf("cut to %d bytes", n), good[:n])
		flipped := bytes.Clone(good)
		flipped[n] ^= 0x10
		check(fmt.Sprintf("bit of byte %d", n), flipped)
	}
	check("another version", bytes.Replace(good, []byte("templates 1"), []byte("templates 2"), 1))
	check("more behind the end", append(bytes.Clone(good), "x\n"...))
	if err := New(Config{}).SaveFile(filepath.Join(path, "x", "y")); err == nil {
		t.Error("saved where there is no folder")
	}
}

// signed makes a file of lines with the right checksum.
func signed(lines string) []byte {
	body := stateFirstLine + "\n" + lines
	return fmt.Appendf(nil, "%s%s%x\n", body, stateLastLine, sha256.Sum256([]byte(body)))
}

// TestLoadImpossible: a right checksum does not make a template right.
func TestLoadImpossible(t *testing.T) {
	for _, line := range []string{
		`{"exporter":"192.0.2.1:1","domain":1,"templates":[{"id":256,"fields":"00080004000c"}]}`,
		`{"exporter":"192.0.2.1:1","domain":1,"templates":[{"id":255,"fields":"00080004"}]}`,
		`{"exporter":"192.0.2.1:1","domain":1,"templates":[{"id":256,"scope":2,"fields":"00080004"}]}`,
		`{"exporter":"192.0.2.1:1","domain":1,"templates":[{"id":256,"fields":"00080000"}]}`,
		`{"exporter":"192.0.2.1:1","domain":1,"templates":[{"id":256,"fields":"zz"},{"id":257,"fields":""}]}`,
	} {
		d := New(Config{})
		if err := d.Load(bytes.NewReader(signed(line + "\n"))); err != nil {
			t.Errorf("%s: %v", line, err)
		} else if n := len(d.Stats().Sources[0].Domains[0].Templates); n != 0 {
			t.Errorf("%s: loaded", line)
		}
	}
	for _, line := range []string{`{"exporter":"nowhere"}`, `{`, `[]`, `{"exporter":"192.0.2.1:1","numbering":99}`} {
		if err := New(Config{}).Load(bytes.NewReader(signed(line + "\n"))); err == nil {
			t.Errorf("%s: no error", line)
		}
	}
}

// TestRestartKeepsRefusal: that a definition was refused outlives a restart, for
// its data must not be read with what the id meant before, nor with what it
// means later.
func TestRestartKeepsRefusal(t *testing.T) {
	w := newWriter(7, testExport)
	d := New(Config{})
	var got records
	d.Message(testSource, w.message(w.template(256, pair)), testRecv, &got)
	changes := d.Changes()
	d.Message(testSource, w.message(w.optionsTemplate(256, 0, pair)), testRecv, &got)
	if d.Changes() == changes {
		t.Error("a refused definition is no change, so it would not be saved soon")
	}
	for range 2 {
		var file bytes.Buffer
		if err := d.Save(&file); err != nil {
			t.Fatal(err)
		}
		d = New(Config{})
		if err := d.Load(&file); err != nil {
			t.Fatal(err)
		}
	}
	d.Message(testSource, w.message(set(256, ab)), testRecv+1, &got)
	d.Message(testSource, w.message(w.template(256, pair), set(256, cd)), testRecv+2, &got)
	st := d.Stats()
	if fmt.Sprint(addrs(got)) != "["+cdFlow+"]" || st.Errors[ReasonNoTemplate] != 1 {
		t.Errorf("flows %v, reasons %v", addrs(got), reasons(&st.Counters))
	}
	d.EndSession(testSource)
	if st := d.Stats(); st.StateBytes != 0 {
		t.Errorf("%d bytes of state left", st.StateBytes)
	}
}
