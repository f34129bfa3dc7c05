package policy

import (
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
