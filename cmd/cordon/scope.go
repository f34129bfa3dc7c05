package main

import (
	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/spf13/pflag"
)

// scopeFlags are the flags that select sessions by their ends and by the exporters that saw them. They mean the same
// in every command that has them.
type scopeFlags struct{ client, server, host, exporter []string }

func (s *scopeFlags) flags(f *pflag.FlagSet) {
	const what = ": address, prefix or group:NAME (may be repeated)"
	f.StringSliceVar(&s.client, "client", nil, "only sessions of these clients"+what)
	f.StringSliceVar(&s.server, "server", nil, "only sessions of these servers"+what)
	f.StringSliceVar(&s.host, "host", nil, "only sessions with such a client or server"+what)
	f.StringSliceVar(&s.exporter, "exporter", nil, "only sessions that one of these exporters saw"+what)
}

// scope reads the flags; nil means all sessions.
func (s *scopeFlags) scope() (*policy.Scope, error) {
	var out policy.Scope
	for i, texts := range [][]string{s.client, s.server, s.host, s.exporter} {
		name := policy.ScopeFields[i]
		for _, text := range texts {
			e, err := policy.ParseScopeEnd(text)
			if err != nil {
				return nil, usagef("--%s %w", name, err)
			}
			list := out.Field(name)
			*list = append(*list, e)
		}
	}
	if out.Empty() {
		return nil, nil
	}
	return &out, nil
}

// ends gives the addresses that the flags select, with the groups of a file, nil for none.
func (s *scopeFlags) ends(file *categories.File) (schema.Ends, error) {
	scope, err := s.scope()
	if err != nil {
		return schema.Ends{}, err
	}
	_, b, err := scope.Bounds(file)
	if err != nil {
		return schema.Ends{}, usageError(err)
	}
	return schema.Ends{Client: b.Prefixes("client"), Server: b.Prefixes("server"), Host: b.Prefixes("host"), Exporter: b.Prefixes("exporter")}, nil
}

// over gives the scope of a proposal, with each list that a flag names in place of the proposal's.
func (s *scopeFlags) over(made *policy.Scope) (*policy.Scope, error) {
	asked, err := s.scope()
	if err != nil || asked == nil {
		return made, err
	}
	var out policy.Scope
	if made != nil {
		out = *made
	}
	for _, name := range policy.ScopeFields {
		if list := *asked.Field(name); len(list) > 0 {
			*out.Field(name) = list
		}
	}
	return &out, nil
}
