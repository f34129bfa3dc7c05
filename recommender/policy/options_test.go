package policy

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Every field of Settings but the window is the field of one option, which has all that its flag, documents and people need.
func TestOptionsAreTheSettings(t *testing.T) {
	var s Settings
	fields := reflect.ValueOf(&s).Elem()
	of := map[uintptr]*Option{}
	flags := map[string]bool{}
	for i := range options {
		o := &options[i]
		at := reflect.ValueOf(o.Field(&s)).Pointer()
		if of[at] != nil || flags[o.Flag] {
			t.Errorf("--%s is there twice", o.Flag)
		}
		of[at], flags[o.Flag] = o, true
	}
	for i := range fields.NumField() {
		f := fields.Type().Field(i)
		if f.Type == reflect.TypeFor[Time]() {
			continue // the window: several flags say it together
		}
		o := of[fields.Field(i).Addr().Pointer()]
		if o == nil {
			t.Errorf("field %s is no option: give it an entry in options", f.Name)
			continue
		}
		delete(of, fields.Field(i).Addr().Pointer())
		for _, form := range []string{"json", "yaml"} {
			if key, omit, _ := strings.Cut(f.Tag.Get(form), ","); key != o.Key || omit != "omitempty" {
				t.Errorf("--%s: the %s of a document has key %q (%s), the option %q", o.Flag, form, key, omit, o.Key)
			}
		}
		if o.Help == "" || o.Flag == "" {
			t.Errorf("option %q has no help or no flag", o.Key)
		}
		if reflect.TypeOf(o.Default) != o.at(&s).Type() || o.Values != nil && o.Default != o.Values[0] {
			t.Errorf("--%s: the default is %#v", o.Flag, o.Default)
		}
	}
	for _, o := range of {
		t.Errorf("--%s has no field", o.Flag)
	}
}

// A document says what is no default, a reader of it comes to the same settings, and what is of no effect is not said.
func TestSettingsThereAndBack(t *testing.T) {
	if d := (Settings{}).Filled().Document(); d != nil {
		t.Errorf("a document says %+v, which is the default", *d)
	}
	all := Settings{Ungrouped: UngroupedPrefix, Generalise: 0.1, Coverage: "99%"}.Filled() // These give every option an effect.
	for i := range options {
		o := &options[i]
		s := all
		switch at := o.at(&s); at.Kind() {
		case reflect.String:
			at.SetString("99.5%")
			if o.Values != nil {
				at.SetString(o.Values[len(o.Values)-1])
			}
		case reflect.Uint64:
			at.SetUint(7)
		default:
			at.SetFloat(0.25)
		}
		d := s.Document()
		for _, form := range []struct {
			write func(any) ([]byte, error)
			read  func([]byte, any) error
		}{{json.Marshal, json.Unmarshal}, {yaml.Marshal, yaml.Unmarshal}} {
			b, err := form.write(d)
			if err != nil {
				t.Fatal(err)
			}
			var back Settings
			if err := form.read(b, &back); err != nil {
				t.Fatal(err)
			}
			if !o.IsZero(&s) && !strings.Contains(string(b), o.Key) || back.Filled() != s {
				t.Errorf("--%s: the document says %s, which is %+v, not %+v", o.Flag, b, back.Filled(), s)
			}
		}
		if o.needs != nil {
			s.Ungrouped, s.Coverage = UngroupedHost, whole
			if d := s.Document(); d != nil && !o.IsZero(d) {
				t.Errorf("--%s is of no effect, and the document says it: %+v", o.Flag, *d)
			}
		}
	}
}

// What no option may be is told under the names of its flag and of its key.
func TestOptionsCheck(t *testing.T) {
	for i := range options {
		o := &options[i]
		s := Settings{}.Filled()
		if err := o.Check(&s); err != nil {
			t.Errorf("the default: %v", err)
		}
		if o.Values == nil && o.parse == nil {
			continue
		}
		o.at(&s).SetString("drop")
		err, ok := o.Known(&s).(*SettingsError)
		if !ok || err.Setting != o.Flag || err.Key != o.Key || !strings.Contains(err.Error(), `"drop"`) {
			t.Errorf("--%s drop: %v", o.Flag, err)
		}
		if s.Check() == nil {
			t.Errorf("--%s drop is taken", o.Flag)
		}
	}
	for _, s := range []Settings{{Recurring: 1}, {PortRanges: 1}, {Generalise: -0.1}, {Generalise: 1.1}, {GeneraliseWithin: "site"}, {Coverage: "101%"}} {
		if s.Filled().Check() == nil {
			t.Errorf("%+v is taken", s)
		}
	}
	if s := (Settings{Coverage: "0.990"}).Filled(); s.Coverage != "99%" {
		t.Errorf("a share of 0.990 is %q", s.Coverage)
	}
}
