package verify

import (
	"encoding/json"
	"slices"

	"cordon/recommender/policy"
)

// missing compares what the document says may be missing: loss and sampling of
// the exporters that saw sessions of the VRF.
func (v *verifier) missing() {
	v.compareLists("loss", texts(v.p.Loss), texts(v.loss()))
	v.compareLists("sampling", texts(v.p.Sampling), texts(v.c.Sampling))
	if v.p.ScaledBytes && len(v.c.Sampling) == 0 {
		v.report.find(WrongMissing, "", "scaledBytes is set, but nothing was sampled")
	}
}

// loss gives the loss of the exporters that saw sessions of the VRF.
func (v *verifier) loss() []policy.Loss {
	saw := map[string]bool{policy.AnyExporter: true}
	for i := range v.c.Sessions {
		for _, e := range v.c.Sessions[i].Exporters {
			saw[e] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(v.c.Loss), func(l policy.Loss) bool { return !saw[l.Exporter] })
}

// compareLists says what one list has and the other does not.
func (v *verifier) compareLists(name string, said, are []string) {
	if slices.Equal(said, are) {
		return
	}
	f := v.report.find(WrongMissing, "", "%s is not what the exporters' counters say:", name)
	for _, x := range []struct {
		list, other []string
		what        string
	}{{said, are, "said"}, {are, said, "counted"}} {
		for _, text := range x.list {
			if !slices.Contains(x.other, text) {
				f.Examples = append(f.Examples, x.what+" "+text)
			}
		}
	}
	f.Count = uint64(len(f.Examples))
	if f.Count == 0 {
		f.Text = name + " is not in order of exporters"
	}
}

// texts writes each item as the document does.
func texts[T any](list []T) []string {
	out := make([]string, len(list))
	for i, x := range list {
		text, err := json.Marshal(x)
		if err != nil {
			panic("BUG: encode " + err.Error())
		}
		out[i] = string(text)
	}
	return out
}
