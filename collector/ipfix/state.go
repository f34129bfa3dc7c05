package ipfix

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cordon/schema"
)

// The file of templates is text: a first line that names the format and its
// version, a line of JSON for each observation domain of a UDP source, and a
// last line with the SHA-256 of all lines before it.
const (
	stateFirstLine = "cordon templates 1"
	stateLastLine  = "sha256 "
	maxStateLine   = 64 << 20
)

// savedDomain is a line of the file.
type savedDomain struct {
	Exporter   string            `json:"exporter"` // address and port
	Domain     uint32            `json:"domain"`
	LastUsed   int64             `json:"lastUsed"` // Unix microseconds
	SystemInit int64             `json:"systemInit,omitempty"`
	InitBound  int64             `json:"initBound,omitempty"`
	Software   string            `json:"software,omitempty"`
	Numbering  numbering         `json:"numbering,omitempty"`
	ExporterIP string            `json:"exporterAddress,omitempty"`
	Name       string            `json:"name,omitempty"`
	Sampling   []savedRate       `json:"sampling,omitempty"`
	VRFs       map[uint32]string `json:"vrfs,omitempty"`
	Interfaces map[uint32]string `json:"interfaces,omitempty"`
	Elements   []savedElement    `json:"elements,omitempty"`
	Templates  []savedTemplate   `json:"templates,omitempty"`
	Refused    []uint16          `json:"refused,omitempty"` // template ids whose last definition could not be used
}

type savedRate struct {
	rateKey
	Rate uint32 `json:"rate"`
}

type savedElement struct {
	Enterprise uint32 `json:"enterprise"`
	ID         uint16 `json:"id"`
	Name       string `json:"name"`
}

type savedTemplate struct {
	ID     uint16 `json:"id"`
	Scope  int    `json:"scope,omitempty"` // scope fields, for an options template
	Fields string `json:"fields"`          // field specifiers as in the message, in hexadecimal
	Seen   int64  `json:"seen"`            // Unix microseconds
}

// Save writes the templates and options data of UDP sources, so that after a
// restart their data can be decoded before they announce templates again.
func (d *Decoder) Save(w io.Writer) error {
	var lines []savedDomain
	for _, s := range d.all() {
		if s.key.Transport != UDP || s.key.Session != 0 {
			continue
		}
		s.mu.Lock()
		for _, dom := range s.domains {
			if len(dom.templates)+len(dom.refused) > 0 {
				lines = append(lines, dom.save())
			}
		}
		s.mu.Unlock()
	}
	slices.SortFunc(lines, func(a, b savedDomain) int {
		return cmp.Or(strings.Compare(a.Exporter, b.Exporter), cmp.Compare(a.Domain, b.Domain))
	})
	sum := sha256.New()
	out := bufio.NewWriter(w)
	to := io.MultiWriter(out, sum)
	fmt.Fprintln(to, stateFirstLine)
	enc := json.NewEncoder(to)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%s%x\n", stateLastLine, sum.Sum(nil))
	return out.Flush()
}

// save gives the domain as it is written to a file.
func (d *domain) save() savedDomain {
	o := &d.options
	l := savedDomain{
		Exporter: d.source.key.Addr.String(), Domain: d.id, LastUsed: d.source.lastUsed.Load(),
		SystemInit: o.SystemInit, InitBound: d.initBound,
		Software: d.software.name, Name: o.name, Numbering: d.sequence.how,
		VRFs: maps.Clone(o.vrfs), Interfaces: maps.Clone(o.interfaces),
	}
	if o.exporter != ([16]byte{}) {
		l.ExporterIP = schema.Addr(o.exporter).String()
	}
	for k, rate := range o.rates {
		l.Sampling = append(l.Sampling, savedRate{k, rate})
	}
	slices.SortFunc(l.Sampling, func(a, b savedRate) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Domain, b.Domain), a.Exporter.Compare(b.Exporter))
	})
	for e, name := range o.elements {
		l.Elements = append(l.Elements, savedElement{e.pen, e.id, name})
	}
	slices.SortFunc(l.Elements, func(a, b savedElement) int {
		return cmp.Or(cmp.Compare(a.Enterprise, b.Enterprise), cmp.Compare(a.ID, b.ID))
	})
	for _, t := range d.templates {
		l.Templates = append(l.Templates, savedTemplate{t.id, t.scope, hex.EncodeToString(t.raw), t.seen})
	}
	slices.SortFunc(l.Templates, func(a, b savedTemplate) int { return cmp.Compare(a.ID, b.ID) })
	l.Refused = slices.Sorted(maps.Keys(d.refused))
	return l
}

// Load reads what Save wrote, for sources that have not sent anything yet.
// After an error nothing was loaded, and the Decoder works as without it.
func (d *Decoder) Load(r io.Reader) error {
	lines, err := readState(r)
	if err != nil {
		return err
	}
	// Those used last first: they are the ones to keep if not all fit.
	slices.SortStableFunc(lines, func(a, b savedDomain) int { return cmp.Compare(b.LastUsed, a.LastUsed) })
	known := make(map[Source]bool)
	for _, s := range d.all() {
		known[s.key] = true
	}
	for _, l := range lines {
		addr, _ := netip.ParseAddrPort(l.Exporter) // checked by readState
		key := Source{Addr: addr}
		if known[key] {
			continue
		}
		d.mu.RLock()
		_, ok := d.sources[key]
		full := len(d.sources) >= d.cfg.MaxSources
		d.mu.RUnlock()
		if full && !ok {
			break
		}
		s := d.lock(key, l.LastUsed)
		s.load(&l)
		s.mu.Unlock()
		s.settle()
	}
	return nil
}

// load takes in a domain as far as the bounds allow.
func (s *source) load(l *savedDomain) {
	d, ok := s.domain(l.Domain)
	if !ok {
		return
	}
	s.useful.Store(true)
	o := &d.options
	o.SystemInit, d.initBound = l.SystemInit, l.InitBound
	o.name, d.software.name, d.sequence.how = l.Name, l.Software, l.Numbering
	if a, err := netip.ParseAddr(l.ExporterIP); err == nil {
		o.exporter = schema.Addr16(a)
	}
	for _, r := range l.Sampling {
		if r.Kind < numRateKinds && r.Rate != 0 {
			put(o, &o.rates, r.rateKey, r.Rate, 0)
		}
	}
	s.announcements.publish(d)
	for id, name := range l.VRFs {
		put(o, &o.vrfs, id, o.intern([]byte(name)), maxNameLength)
	}
	for id, name := range l.Interfaces {
		put(o, &o.interfaces, id, name, maxNameLength)
	}
	for _, e := range l.Elements {
		put(o, &o.elements, elementID{e.Enterprise, e.ID}, e.Name, maxNameLength)
	}
	for _, saved := range l.Templates {
		t, err := saved.template()
		if err != nil || len(t.fields) > s.decoder.cfg.MaxFields || s.templates >= s.decoder.cfg.MaxTemplates || !s.charge(t.cost()) {
			continue // The state is of another version, or the bounds were lowered.
		}
		d.templates[t.id] = t
		s.templates++
	}
	for _, id := range l.Refused {
		if d.templates[id] == nil && id >= firstDataSet {
			s.markRefused(d, id)
		}
	}
}

// template checks a template of the file as if it had come in a message.
func (s savedTemplate) template() (*template, error) {
	raw, err := hex.DecodeString(s.Fields)
	if err != nil {
		return nil, err
	}
	count := 0
	for at := 0; at+4 <= len(raw); count++ {
		if raw[at]&0x80 != 0 {
			at += 4
		}
		at += 4
	}
	if n, ok := specifiers(raw, count); !ok || n != len(raw) || count == 0 || count > 0xffff {
		return nil, errors.New("field specifiers cut short")
	}
	if s.ID < firstDataSet || s.Scope < 0 || s.Scope > count || len(raw) > 0xffff-64 {
		return nil, errors.New("not a template")
	}
	t, _, err := newTemplate(s.ID, s.Scope, count, raw)
	if err != nil {
		return nil, err
	}
	t.seen = s.Seen
	return t, nil
}

// readState reads all of a file and checks it.
func readState(r io.Reader) ([]savedDomain, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxStateLine)
	sum := sha256.New()
	var lines []savedDomain
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		switch {
		case n == 1:
			if line != stateFirstLine {
				return nil, fmt.Errorf("line 1 is %.40q, not %q: not a file of templates, or one of another version", line, stateFirstLine)
			}
		case strings.HasPrefix(line, stateLastLine):
			return lines, checkEnd(sc, sum, line)
		default:
			var l savedDomain
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			if _, err := netip.ParseAddrPort(l.Exporter); err != nil {
				return nil, fmt.Errorf("line %d: exporter: %w", n, err)
			}
			if l.Numbering >= numNumberings {
				return nil, fmt.Errorf("line %d: numbering %d is not known", n, l.Numbering)
			}
			lines = append(lines, l)
		}
		io.WriteString(sum, line)
		io.WriteString(sum, "\n")
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	return nil, errors.New("the last line, with the checksum, is missing")
}

// checkEnd checks the last line and that it is the last.
func checkEnd(sc *bufio.Scanner, sum hash.Hash, line string) error {
	if want := hex.EncodeToString(sum.Sum(nil)); strings.TrimPrefix(line, stateLastLine) != want {
		return errors.New("the checksum in the last line does not match")
	}
	if sc.Scan() {
		return errors.New("there are lines behind the checksum")
	}
	return sc.Err()
}

// SaveFile is Save to a file that is replaced as a whole, so that a crash
// leaves the old one or the new one.
func (d *Decoder) SaveFile(path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("save templates: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("save templates: %w", err)
		}
	}()
	if err = d.Save(f); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// LoadFile is Load from a file. That there is none is no error.
func (d *Decoder) LoadFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load templates: %w", err)
	}
	defer f.Close()
	if err := d.Load(f); err != nil {
		return fmt.Errorf("load templates: %s: %w; likely the disk was full, or the file was edited or copied while in use; "+
			"remove it, and templates are learned again as exporters announce them", path, err)
	}
	return nil
}
