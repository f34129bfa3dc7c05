package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"cordon/internal/text"

	"go.yaml.in/yaml/v3"
)

// FileName is the configuration file that is read where none is named.
const FileName = "cordon.yaml"

var lookupEnv = os.LookupEnv

// ReadFile adds a YAML file. With must unset a missing file is no error.
// Errors, one for each wrong line, name file and line.
func (l *Loader) ReadFile(name string, must bool) error {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return yamlError(name, err)
	}
	l.file = name
	if len(doc.Content) == 0 {
		return nil
	}
	settings := map[string]any{}
	var errs []error
	l.walk(name, "", doc.Content[0], settings, &errs)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return l.v.MergeConfigMap(settings)
}

// yamlLine finds the line in an error of the YAML parser.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// yamlError names file and line as all other errors do. The parser leaves out the
// line where it is the first.
func yamlError(name string, err error) error {
	text := err.Error()
	m := yamlLine.FindStringSubmatch(text)
	return fmt.Errorf("%s:%s: %s", name, cmp.Or(m[1], "1"), text[len(m[0]):])
}

// File is the name of the file that was read, empty for none.
func (l *Loader) File() string { return l.file }

// walk checks the keys of a mapping against the known ones and takes the
// values over.
func (l *Loader) walk(file, prefix string, n *yaml.Node, out map[string]any, errs *[]error) {
	if n.Kind != yaml.MappingNode {
		what := "the file"
		if prefix != "" {
			what = strings.TrimSuffix(prefix, ".")
		}
		*errs = append(*errs, fmt.Errorf("%s:%d: %s must be a mapping of keys to values", file, n.Line, what))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		key := prefix + strings.ToLower(k.Value)
		switch {
		case l.keys[key]:
			var val any
			if err := v.Decode(&val); err != nil {
				*errs = append(*errs, fmt.Errorf("%s:%d: %s: %v", file, v.Line, key, err))
				continue
			}
			if val == nil {
				continue // "key:" with nothing behind it leaves the default
			}
			out[strings.ToLower(k.Value)] = val
			l.where[key] = fmt.Sprintf("%s:%d", file, k.Line)
		case l.isSection(key):
			if v.Kind == yaml.ScalarNode && v.Tag == "!!null" {
				continue
			}
			sub := map[string]any{}
			l.walk(file, key+".", v, sub, errs)
			out[strings.ToLower(k.Value)] = sub
		default:
			hint := ""
			if near := l.nearest(key); near != "" {
				hint = "; did you mean " + near + "?"
			}
			*errs = append(*errs, fmt.Errorf("%s:%d: unknown key %s%s", file, k.Line, key, hint))
		}
	}
}

func (l *Loader) isSection(key string) bool {
	for k := range l.keys {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// nearest finds the known key or section that is most like a wrong one.
func (l *Loader) nearest(key string) string {
	candidates := map[string]bool{}
	for k := range l.keys {
		candidates[k] = true
		for i := range k {
			if k[i] == '.' {
				candidates[k[:i]] = true
			}
		}
	}
	return text.Nearest(key, slices.Sorted(maps.Keys(candidates)), len(key)/3+2)
}

// UnknownVariables gives an error for each variable of the environment that has a
// value and whose name begins as Cordon's do and is that of no key, nor among others.
func (l *Loader) UnknownVariables(environment []string, others ...string) (errs []error) {
	known := map[string]string{}
	for k := range l.keys {
		known[EnvName(k)] = k
	}
	for _, o := range others {
		known[o] = o
	}
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix+"_") || known[name] != "" || name+"=" == entry {
			continue
		}
		best := text.Nearest(name, slices.Sorted(maps.Keys(known)), len(name)/4+1)
		hint := "; `cordon config show` lists the keys, of which nats.url is " + EnvName("nats.url")
		if best != "" {
			hint = "; did you mean " + best + "?"
		}
		errs = append(errs, fmt.Errorf("environment %s: no setting has that name%s", name, hint))
	}
	return errs
}
