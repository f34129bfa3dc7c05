package render

import (
	"fmt"
	"io"
	"strings"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/target/eos"
)

// Options are what a format may need beside the proposals.
type Options struct {
	// Groups is the file that the proposals were made with. The format table
	// takes names of services from it, and targets also the addresses of groups;
	// yaml and json do without.
	Groups *categories.File
	// Width of the terminal in columns; 0 means 100.
	Width int
	// Color permits terminal colours.
	Color bool
	// EOS says how the format eos is written; its Services are set by Groups.
	EOS eos.Options
	// Note takes what is worth knowing about what was written; may be nil.
	Note func(string)
}

// format writes proposals, one for each VRF.
type format struct {
	name  string
	about string
	write func(io.Writer, []policy.Proposal, Options) error
}

// formats lists all formats, the ones for people first.
var formats = []format{
	{"table", "for a terminal", writeTable},
	{"yaml", "the document of each VRF, separated by ---", writeYAML},
	{"json", "the document of each VRF, one after another", writeJSON},
	{"eos", "a traffic policy of Arista EOS for each VRF", writeEOS},
}

// Names lists the formats that Write knows.
func Names() []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return names
}

// UnknownFormatError names a format that Write does not know.
type UnknownFormatError struct{ Name string }

func (e *UnknownFormatError) Error() string {
	return fmt.Sprintf("unknown format %q: choose one of %s", e.Name, strings.Join(Names(), ", "))
}

// Check returns an *UnknownFormatError if there is no such format.
func Check(name string) error {
	_, err := find(name)
	return err
}

func find(name string) (format, error) {
	for _, f := range formats {
		if f.name == name {
			return f, nil
		}
	}
	return format{}, &UnknownFormatError{name}
}

// Write writes the proposals in the named format.
func Write(w io.Writer, name string, proposals []policy.Proposal, o Options) error {
	f, err := find(name)
	if err != nil {
		return err
	}
	if o.Width <= 0 {
		o.Width = 100
	}
	return f.write(w, proposals, o)
}

func writeJSON(w io.Writer, proposals []policy.Proposal, _ Options) error {
	for i := range proposals {
		if _, err := w.Write(proposals[i].JSON()); err != nil {
			return err
		}
	}
	return nil
}

func writeYAML(w io.Writer, proposals []policy.Proposal, _ Options) error {
	for i := range proposals {
		if i > 0 {
			if _, err := io.WriteString(w, "---\n"); err != nil {
				return err
			}
		}
		if err := proposals[i].WriteYAML(w); err != nil {
			return err
		}
	}
	return nil
}
