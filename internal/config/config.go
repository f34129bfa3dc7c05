// Package config reads Cordon's configuration: defaults, then a YAML file,
// then CORDON_* environment variables, then command-line flags, each winning
// over the one before. Parts of Cordon keep their own Config types; this
// package only gathers them under their keys.
package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// EnvPrefix starts the name of every environment variable that is read:
// nats.url is CORDON_NATS_URL.
const EnvPrefix = "CORDON"

// Loader gathers the sources of one configuration. Register defaults and
// flags first, then Load.
type Loader struct {
	v     *viper.Viper
	keys  map[string]bool   // every known key, dotted
	where map[string]string // key -> file:line
	flags map[string]*pflag.Flag
	file  string
}

// NewLoader makes a loader whose known keys, with their defaults, are the
// exported fields of defaults (a struct with mapstructure tags).
func NewLoader(defaults any) (*Loader, error) {
	l := &Loader{v: viper.New(), keys: map[string]bool{}, where: map[string]string{}, flags: map[string]*pflag.Flag{}}
	l.v.SetEnvPrefix(EnvPrefix)
	l.v.SetEnvKeyReplacer(strings.NewReplacer(".", "_", "-", "_"))
	leaves := map[string]any{}
	flatten("", reflect.ValueOf(defaults), leaves)
	for k, val := range leaves {
		l.keys[k] = true
		l.v.SetDefault(k, val)
		if err := l.v.BindEnv(k); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// BindFlag lets a command-line flag set a key.
func (l *Loader) BindFlag(key string, f *pflag.Flag) {
	if !l.keys[key] {
		panic("BUG: flag --" + f.Name + " is bound to unknown key " + key)
	}
	l.flags[key] = f
	if err := l.v.BindPFlag(key, f); err != nil {
		panic("BUG: " + err.Error())
	}
}

// Load decodes the configuration into dst, a pointer to a struct of the type
// of the defaults. Errors name the file and line, the variable or the flag.
func (l *Loader) Load(dst any) error {
	err := l.v.Unmarshal(dst, func(c *mapstructure.DecoderConfig) {
		c.DecodeHook = mapstructure.ComposeDecodeHookFunc(
			emptyToZero,
			durationHook,
			prefixHook,
			byteSizeHook,
			mapstructure.StringToSliceHookFunc(","),
			mapstructure.TextUnmarshallerHookFunc(),
		)
		c.ErrorUnused = true
	})
	if err == nil {
		return nil
	}
	return l.locate(err)
}

// locate says where the value that mapstructure refused came from.
func (l *Loader) locate(err error) error {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	last := strings.TrimSpace(lines[len(lines)-1]) // "'section.key[0]' what is wrong"
	name, what, ok := strings.Cut(strings.TrimPrefix(last, "'"), "' ")
	if !ok {
		return fmt.Errorf("configuration: %s", last)
	}
	key, _, _ := strings.Cut(strings.TrimPrefix(name, "."), "[")
	return fmt.Errorf("%s: %s: %s", l.Source(key), name, what)
}

// Keys lists the known keys in order.
func (l *Loader) Keys() []string {
	keys := make([]string, 0, len(l.keys))
	for k := range l.keys {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// Value gives the effective value of a key.
func (l *Loader) Value(key string) any { return l.v.Get(key) }

// Source says where the effective value of a key comes from: a flag, an
// environment variable, a line of the file, or the default.
func (l *Loader) Source(key string) string {
	if f := l.flags[key]; f != nil && f.Changed {
		return "flag --" + f.Name
	}
	env := EnvName(key)
	if v, ok := lookupEnv(env); ok && v != "" {
		return "environment " + env
	}
	if at, ok := l.where[key]; ok {
		return at
	}
	return "default"
}

// EnvName is the environment variable of a key.
func EnvName(key string) string {
	return EnvPrefix + "_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// flatten lists the leaves of a struct under their dotted mapstructure names.
func flatten(prefix string, v reflect.Value, out map[string]any) {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name, opts, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
		if name == "-" {
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		key := prefix + name
		if opts == "squash" {
			flatten(prefix, v.Field(i), out)
			continue
		}
		if f.Type.Kind() == reflect.Struct && !leafType(f.Type) {
			flatten(key+".", v.Field(i), out)
			continue
		}
		out[key] = leaf(v.Field(i))
	}
}

func leafType(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[netip.Prefix](), reflect.TypeFor[netip.AddrPort](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[time.Time]():
		return true
	}
	return false
}

// leaf gives a value in the form that a file would have: text for durations
// and addresses.
func leaf(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case fmt.Stringer:
		return x.String()
	case []netip.Prefix:
		s := make([]string, len(x))
		for i, p := range x {
			s[i] = p.String()
		}
		return s
	}
	return v.Interface()
}

// emptyToZero lets an empty text stand for an address or prefix not given.
func emptyToZero(from, to reflect.Type, data any) (any, error) {
	if s, ok := data.(string); ok && s == "" && leafType(to) {
		return reflect.Zero(to).Interface(), nil
	}
	return data, nil
}

// durationHook reads durations such as 90s and 30d. A number without a unit is
// none: nobody knows what it counts.
func durationHook(from, to reflect.Type, data any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() {
		return data, nil
	}
	switch x := data.(type) {
	case time.Duration:
		return x, nil
	case string:
		return ParseDuration(x)
	}
	if text := fmt.Sprint(data); text != "0" {
		return ParseDuration(text)
	}
	return time.Duration(0), nil
}

// prefixHook reads prefixes, of which an address is the one that holds it alone.
func prefixHook(from, to reflect.Type, data any) (any, error) {
	s, ok := data.(string)
	if !ok || to != reflect.TypeFor[netip.Prefix]() {
		return data, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a prefix, such as 10.0.0.0/8, nor an address", s)
	}
	return p, nil
}

// byteSizeHook reads sizes such as 64MiB into whole numbers.
func byteSizeHook(from, to reflect.Type, data any) (any, error) {
	s, ok := data.(string)
	if !ok || to == reflect.TypeFor[time.Duration]() {
		return data, nil
	}
	switch to.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Int32, reflect.Uint32:
		n, err := ParseSize(s)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number, nor a size such as 512MiB", s)
		}
		return n, nil
	}
	return data, nil
}
