package policy

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// knownKeys refuses keys that the Go value has no field for, and keys that
// stand twice, in n and in everything below it.
func knownKeys(n *yaml.Node, into any) error { return checkKeys(n, reflect.TypeOf(into).Elem()) }

func checkKeys(n *yaml.Node, t reflect.Type) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, item := range n.Content {
			if err := checkKeys(item, t.Elem()); err != nil {
				return err
			}
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct && t != reflect.TypeFor[yaml.Node]():
		fields := map[string]reflect.Type{}
		var names []string
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name != "" && name != "-" {
				fields[name] = f.Type
				names = append(names, name)
			}
		}
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			ft, ok := fields[key.Value]
			switch {
			case !ok:
				return fmt.Errorf("line %d: unknown key %q: the keys here are %s", key.Line, key.Value, strings.Join(names, ", "))
			case seen[key.Value]:
				return fmt.Errorf("line %d: key %q is here a second time", key.Line, key.Value)
			}
			seen[key.Value] = true
			if err := checkKeys(n.Content[i+1], ft); err != nil {
				return err
			}
		}
	}
	return nil
}

// badValue finds the first value in a node, or below it, that its Go type refuses, and says at which line and
// under which key it is. Path is the key of the node itself.
func badValue(n *yaml.Node, t reflect.Type, path string) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	reads := reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) // the type reads itself, such as a time
	switch {
	case reads || t.Kind() != reflect.Slice && t.Kind() != reflect.Struct || t == reflect.TypeFor[yaml.Node]():
		if err := n.Decode(reflect.New(t).Interface()); err != nil {
			return fmt.Errorf("line %d: %s: %q: %w", n.Line, path, n.Value, err)
		}
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, item := range n.Content {
			if err := badValue(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
			at := name
			if path != "" {
				at = path + "." + name
			}
			if value := field(n, name); name != "" && value != nil {
				if err := badValue(value, t.Field(i).Type, at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
