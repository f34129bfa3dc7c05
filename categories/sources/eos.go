package sources

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"

	"cordon/categories"
)

// eosSource reads the prefix field-sets of a running-config of Arista EOS, from a file or from what a command writes.
type eosSource struct {
	s         *categories.Source
	fieldSets func(path string, config []byte) (map[string][]netip.Prefix, error)
}

func (e *eosSource) Snapshot(ctx context.Context) (*Snapshot, error) {
	name := e.s.Address
	var data []byte
	var err error
	if name != "" {
		data, err = contents(name)
	} else {
		name = e.s.Command[0]
		data, err = output(ctx, e.s.Command)
	}
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	sets, err := e.fieldSets(name, data)
	if err != nil {
		return nil, err
	}
	out := &Snapshot{Source: e.s.Name}
	for _, set := range slices.Sorted(maps.Keys(sets)) {
		if len(sets[set]) > 0 {
			out.Objects = append(out.Objects, Object{Ref: "field-set " + set, Prefixes: sets[set], Labels: map[string][]string{"field-set": {set}}})
		}
	}
	return out, nil
}
