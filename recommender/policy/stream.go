package policy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// WriteJSON writes the document as JSON does, without holding it: no more than one element of its lists at a time.
func (p *Proposal) WriteJSON(w io.Writer) error {
	b := bufio.NewWriter(w)
	if err := encodeTo(b, p, "  "); err != nil {
		return err
	}
	if err := b.WriteByte('\n'); err != nil {
		return err
	}
	return b.Flush()
}

// encodeTo writes the document with indentation or, where that is empty, on one line. The only errors are those of the writer.
func encodeTo(w io.Writer, p *Proposal, indent string) error {
	s := newStream(w, indent)
	s.value(reflect.ValueOf(p).Elem(), "")
	return s.err
}

// stream writes what encoding/json writes, without escapes for HTML. The package itself holds a whole document several times before
// it writes the first byte; a proposal of a large network has 100 MB.
type stream struct {
	w      io.Writer
	indent string
	leaf   bytes.Buffer
	err    error
}

func newStream(w io.Writer, indent string) *stream { return &stream{w: w, indent: indent} }

// inSteps are the structures that are written field by field, since they have long lists. They have no methods
// for JSON and embed nothing, and every field has a tag.
var inSteps = map[reflect.Type]bool{
	reflect.TypeFor[Proposal](): true, reflect.TypeFor[Certificate](): true, reflect.TypeFor[BoundPart](): true,
}

// value writes a value whose lines begin with the prefix.
func (s *stream) value(v reflect.Value, prefix string) {
	switch {
	case inSteps[v.Type()]:
		s.object(v, prefix)
	case v.Kind() == reflect.Slice && !v.IsNil() && v.Len() > 0:
		s.text("[")
		for i := range v.Len() {
			s.next(i == 0, prefix+s.indent)
			s.value(v.Index(i), prefix+s.indent)
		}
		s.end("]", prefix)
	default:
		s.whole(v, prefix)
	}
}

func (s *stream) object(v reflect.Value, prefix string) {
	s.text("{")
	first := true
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if options == "omitempty" && isEmpty(v.Field(i)) {
			continue
		}
		s.next(first, prefix+s.indent)
		first = false
		s.text(`"` + name + `":`)
		if s.indent != "" {
			s.text(" ")
		}
		s.value(v.Field(i), prefix+s.indent)
	}
	s.end("}", prefix)
}

// isEmpty reports what omitempty leaves out.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.String, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// next begins an element or a field.
func (s *stream) next(first bool, prefix string) {
	if !first {
		s.text(",")
	}
	s.line(prefix)
}

func (s *stream) end(bracket, prefix string) {
	s.line(prefix)
	s.text(bracket)
}

func (s *stream) line(prefix string) {
	if s.indent != "" {
		s.text("\n" + prefix)
	}
}

// whole writes a value that is not taken apart.
func (s *stream) whole(v reflect.Value, prefix string) {
	s.leaf.Reset()
	e := json.NewEncoder(&s.leaf)
	e.SetEscapeHTML(false)
	if s.indent != "" {
		e.SetIndent(prefix, s.indent)
	}
	if err := e.Encode(v.Interface()); err != nil {
		panic(fmt.Sprintf("BUG: encode proposal: %v", err)) // a time outside years 0 to 9999
	}
	s.bytes(bytes.TrimSuffix(s.leaf.Bytes(), []byte("\n")))
}

func (s *stream) text(text string) { s.bytes([]byte(text)) }

func (s *stream) bytes(text []byte) {
	if s.err == nil {
		_, s.err = s.w.Write(text)
	}
}
