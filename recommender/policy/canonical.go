package policy

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// idPrefix comes before the hash in a proposal's id.
const idPrefix = "sha256:"

// ContentID is the id that belongs to the document's content: the SHA-256 of
// its JSON without "id", without blanks between tokens, keys in the order of the
// contract, text in UTF-8 with no more escapes than JSON demands.
func (p *Proposal) ContentID() string {
	c := *p
	c.ID = ""
	sum := sha256.New()
	b := bufio.NewWriter(sum)
	encodeTo(b, &c, "")
	b.Flush() // a hash does not fail
	return idPrefix + hex.EncodeToString(sum.Sum(nil))
}

// Seal fills in what every document says of itself, sorts nothing, and sets
// the id. Lists that are nil become empty, so that they are written as [].
func (p *Proposal) Seal() {
	p.APIVersion, p.Kind = APIVersion, KindProposal
	p.Categories = notNil(p.Categories)
	p.Rules = notNil(p.Rules)
	p.Unproposed = notNil(p.Unproposed)
	p.Certificate.Witness = notNil(p.Certificate.Witness)
	for i := range p.Unproposed {
		p.Unproposed[i].Examples = notNil(p.Unproposed[i].Examples)
	}
	p.ID = p.ContentID()
}

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// Edited reports whether the content is not what the id was made of.
func (p *Proposal) Edited() bool { return p.ID != p.ContentID() }

// JSON returns the document for people: indented, with a newline at the end.
func (p *Proposal) JSON() []byte { return append(encode(p, "  "), '\n') }

// Head returns the document, as one of kind PolicyProposalHead, without its
// rules, what it left out, the cells of its certificate and what it was made with:
// what a message can hold of any proposal. The id is that of the whole.
func (p *Proposal) Head() []byte {
	c := *p
	c.Kind, c.Rules, c.Unproposed = KindProposalHead, []Rule{}, []Unproposed{}
	c.Certificate.Witness, c.Certificate.Parts = []Cell{}, nil
	c.Groups, c.KnownHosts, c.Services, c.Exclude, c.Guardrails, c.InForce = nil, nil, nil, nil, nil, nil
	c.Reused = nil
	return c.JSON()
}

// Canonical returns the document on one line.
func (p *Proposal) Canonical() []byte { return encode(p, "") }

func encode(p *Proposal, indent string) []byte {
	var b bytes.Buffer
	encodeTo(&b, p, indent) // a bytes.Buffer does not fail
	return b.Bytes()
}

// WriteYAML writes the same document as YAML.
func (p *Proposal) WriteYAML(w io.Writer) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(p); err != nil {
		return fmt.Errorf("write proposal as YAML: %w", err)
	}
	return e.Close()
}
