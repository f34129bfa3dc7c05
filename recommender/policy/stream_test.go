package policy

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// fill sets every field below v; lists get so many elements.
func fill(v reflect.Value, elements int) {
	switch x := v.Addr().Interface().(type) {
	case *Endpoint:
		*x = GroupEndpoint("a<b> & \u2028\"ü")
		return
	case *netip.Prefix:
		*x = netip.MustParsePrefix("10.0.0.0/8")
		return
	case *netip.Addr:
		*x = netip.MustParseAddr("2001:db8::1")
		return
	case *time.Time:
		*x = time.Date(2026, 11, 20, 1, 2, 3, 4000, time.UTC)
		return
	case encoding.TextMarshaler, json.Marshaler:
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), elements)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), elements, elements))
		for i := range elements {
			fill(v.Index(i), elements)
		}
	case reflect.Pointer:
		if elements > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), elements)
		}
	case reflect.String:
		v.SetString("a <text> & more")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(-7)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		v.SetUint(7)
	}
}

// TestStreamWritesWhatThePackageWrites compares with encoding/json: nothing set, empty lists, and lists of one element and of several.
func TestStreamWritesWhatThePackageWrites(t *testing.T) {
	proposals := []Proposal{{}}
	for elements := range 4 {
		var p Proposal
		fill(reflect.ValueOf(&p).Elem(), elements)
		proposals = append(proposals, p)
	}
	for i := range proposals {
		for _, indent := range []string{"", "  "} {
			var want, got bytes.Buffer
			e := json.NewEncoder(&want)
			e.SetEscapeHTML(false)
			e.SetIndent("", indent)
			if err := e.Encode(&proposals[i]); err != nil {
				t.Fatal(err)
			}
			if err := encodeTo(&got, &proposals[i], indent); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			if !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Errorf("proposal %d, indentation %q:\n%.3000s\nwant\n%.3000s", i, indent, got.Bytes(), want.Bytes())
			}
		}
	}
}

// failing takes some bytes and then no more.
type failing int

func (f *failing) Write(b []byte) (int, error) {
	if *f -= failing(len(b)); *f < 0 {
		return 0, errors.New("full")
	}
	return len(b), nil
}

func TestStreamTellsThatTheWriterFails(t *testing.T) {
	var p Proposal
	fill(reflect.ValueOf(&p).Elem(), 2)
	for room := failing(0); room < 9000; room += 3000 {
		if left := room; p.WriteJSON(&left) == nil {
			t.Errorf("no error where only %d bytes have room of %d", room, len(p.JSON()))
		}
	}
}
