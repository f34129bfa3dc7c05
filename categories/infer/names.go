package infer

import (
	"fmt"
	"strings"

	"cordon/categories"
	"cordon/internal/iana"
)

// mostMembers is the share of members that a service needs to name a group, unless no service has it.
const mostMembers = 0.5

// suggestions gives names for a group, the best first: from the services that tell most of what its hosts serve, else of what
// they use.
func (d *draft) suggestions() []string {
	var served, used, rare []string
	for _, f := range d.features {
		word := serviceWord(d.of.features[f.number], d.of.names)
		switch {
		case f.bits <= 0 && len(d.features) > 1 && f.share < mostMembers:
			continue
		case f.share < mostMembers:
			rare = append(rare, roleName(d.of.features[f.number].Role, word))
		case d.of.features[f.number].Role == Server:
			served = append(served, word)
		default:
			used = append(used, word)
		}
	}
	var out []string
	add := func(role Role, words []string) {
		if len(words) == 0 {
			return
		}
		out = append(out, roleName(role, words[0]))
		if len(words) > 1 {
			out = append(out, roleName(role, words[0]+"-"+words[1]))
		}
	}
	if len(served) > 0 {
		add(Server, served)
		if len(used) > 0 {
			out = append(out, served[0]+"-servers-using-"+used[0])
		}
	} else {
		add(Client, used)
	}
	out = append(out, rare...)
	if len(out) == 0 {
		out = append(out, "hosts")
	}
	return out
}

func roleName(role Role, word string) string {
	if role == Server {
		return word + "-servers"
	}
	return "clients-of-" + word
}

// serviceWord makes a word of a service that may stand in a group's name.
func serviceWord(f Feature, names *categories.ServiceNames) string {
	word := ""
	if f.Service.Lo == f.Service.Hi {
		word = names.Name(categories.Service{Proto: f.Service.Proto, Port: f.Service.Lo})
	} else {
		word = iana.ProtocolName(f.Service.Proto) + "-dynamic"
	}
	word = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, word)
	word = strings.Trim(word, "-")
	if f.Public {
		return "internet-" + word
	}
	return word
}

// free gives the first of some names that is not taken, or the first with a number.
func free(names []string, taken map[string]bool) string {
	for _, n := range names {
		if !taken[n] {
			return n
		}
	}
	for i := 2; ; i++ {
		if n := fmt.Sprintf("%s-%d", names[0], i); !taken[n] {
			return n
		}
	}
}
