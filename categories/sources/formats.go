package sources

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"cordon/categories"
)

// usual are the fields in which objects have their addresses, where the source names none; the first that an object has counts.
var usual = []string{"prefix", "prefixes", "cidr", "address", "addresses", "ip", "ips", "ip_address", "ip_addresses", "ipv4", "primary_ip", "primary_ip.address", "ansible_host", "host"}

// refs are the fields by which objects are named in messages.
var refs = []string{"name", "id", "uid", "hostname", "host", "sys_id"}

// parse reads what a source gave.
func parse(s *categories.Source, data []byte) (*Snapshot, error) {
	out := &Snapshot{Source: s.Name}
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	if data[0] != '{' && data[0] != '[' {
		return out, out.parseCSV(s, data)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var document any
	if err := d.Decode(&document); err != nil {
		return nil, fmt.Errorf("not whole JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the JSON document")
	}
	switch v := document.(type) {
	case map[string]any:
		if meta, ok := v["_meta"].(map[string]any); ok {
			out.ansible(v, meta)
			return out, nil
		}
		if items, ok := v["items"].([]any); ok && strings.HasSuffix(text(v["kind"]), "List") {
			out.kubernetes(kubernetesItems(items, text(v["kind"])))
			return out, nil
		}
		if list, ok := onlyList(v); ok {
			return out, out.objects(s, list)
		}
		return nil, errors.New("the JSON object has not one list of objects: give the list itself, or an object with one list in it")
	case []any:
		return out, out.objects(s, v)
	}
	return nil, errors.New("it is neither a list nor an object")
}

// onlyList gives the one list of objects that an object has.
func onlyList(v map[string]any) (list []any, ok bool) {
	for _, k := range slices.Sorted(maps.Keys(v)) {
		if l, is := v[k].([]any); is {
			if ok {
				return nil, false
			}
			list, ok = l, true
		}
	}
	return list, ok
}

func (s *Snapshot) problem(ref, format string, args ...any) {
	s.Problems = append(s.Problems, ref+": "+fmt.Sprintf(format, args...))
}

// add adds an object with addresses as texts; one without is no object.
func (s *Snapshot) add(ref string, addresses []string, labels map[string][]string) {
	o := Object{Ref: ref, Labels: labels}
	for _, a := range addresses {
		p, _, err := categories.ParsePrefix(strings.TrimSpace(a))
		switch {
		case err != nil:
			s.problem(ref, "%v", err)
		case !slices.Contains(o.Prefixes, p):
			o.Prefixes = append(o.Prefixes, p)
		}
	}
	if len(o.Prefixes) > 0 {
		s.Objects = append(s.Objects, o)
	}
}

func (s *Snapshot) parseCSV(of *categories.Source, data []byte) error {
	r := csv.NewReader(bytes.NewReader(data))
	r.Comment = '#'
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("not CSV: %w", err)
	}
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
	}
	if field(of, func(name string) bool { return slices.Contains(header, name) }) == "" {
		return fmt.Errorf("the header %s names no column with addresses: name it with field", strings.Join(header, ","))
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil { // the rest cannot be trusted
			return fmt.Errorf("not CSV: %w", err)
		}
		line, _ := r.FieldPos(0)
		labels := map[string][]string{}
		for i, value := range row {
			if value = strings.TrimSpace(value); value != "" {
				labels[header[i]] = append(labels[header[i]], value)
			}
		}
		s.object(of, fmt.Sprintf("line %d", line), labels)
	}
}

// field gives the field with addresses of what has the given fields; empty for none.
func field(of *categories.Source, has func(string) bool) string {
	if of.Field != "" {
		if has(of.Field) {
			return of.Field
		}
		return ""
	}
	if i := slices.IndexFunc(usual, has); i >= 0 {
		return usual[i]
	}
	return ""
}

// object adds an object whose addresses are in one of its fields.
func (s *Snapshot) object(of *categories.Source, ref string, labels map[string][]string) {
	for _, name := range refs {
		if v := labels[name]; len(v) > 0 {
			ref = v[0]
			break
		}
	}
	at := field(of, func(name string) bool { return len(labels[name]) > 0 })
	if at == "" {
		s.problem(ref, "it has no address")
		return
	}
	var addresses []string
	for _, v := range labels[at] {
		addresses = append(addresses, strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ';' || r == ' ' })...)
	}
	s.add(ref, addresses, labels)
}

// objects reads a list of objects, or of targets with labels as Prometheus has them.
func (s *Snapshot) objects(of *categories.Source, list []any) error {
	for i, x := range list {
		v, ok := x.(map[string]any)
		if !ok {
			return fmt.Errorf("item %d of the list is not an object", i+1)
		}
		ref := fmt.Sprintf("item %d", i+1)
		targets, ok := v["targets"].([]any)
		if !ok {
			labels := map[string][]string{}
			flatten("", v, labels)
			s.object(of, ref, labels)
			continue
		}
		labels := map[string][]string{}
		if l, ok := v["labels"].(map[string]any); ok {
			flatten("", l, labels)
		}
		for _, t := range targets {
			s.add(text(t), []string{hostOf(text(t))}, labels)
		}
	}
	return nil
}

// hostOf gives the host of a target, which may have a port.
func hostOf(target string) string {
	if a, err := netip.ParseAddrPort(target); err == nil {
		return a.Addr().String()
	}
	if host, _, ok := strings.Cut(target, ":"); ok && strings.Count(target, ":") == 1 {
		return host
	}
	return strings.Trim(target, "[]")
}

// flatten makes labels of the fields of an object: those of inner objects with dots between.
func flatten(prefix string, v map[string]any, into map[string][]string) {
	for k, x := range v {
		switch x := x.(type) {
		case map[string]any:
			flatten(prefix+k+".", x, into)
		case []any:
			for _, item := range x {
				if m, ok := item.(map[string]any); ok {
					flatten(prefix+k+".", m, into)
				} else if t := text(item); t != "" {
					into[prefix+k] = append(into[prefix+k], t)
				}
			}
		default:
			if t := text(x); t != "" {
				into[prefix+k] = append(into[prefix+k], t)
			}
		}
	}
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case map[string]any, []any:
		return ""
	}
	return fmt.Sprint(v)
}
