package render

import (
	"fmt"
	"io"
	"strings"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/target"
)

// Options are what a format may need beside the proposals.
type Options struct {
	// Groups is the file that the proposals were made with. The format table
	// takes names of services from it; yaml and json do without.
	Groups *categories.File
	// Width of the terminal in columns; 0 means 100.
	Width int
	// Color permits terminal colours.
	Color bool
}

// format writes proposals, one for each VRF.
type format struct {
	name  string
	about string
	write func(io.Writer, []policy.Proposal, Options) error
}

// formats lists the formats of Write, the ones for people first.
var formats = []format{
	{"table", "for a terminal", writeTable},
	{"yaml", "the document of each VRF, separated by ---", writeYAML},
	{"json", "the document of each VRF, one after another", writeJSON},
}

// Names lists the formats: those of Write, and the targets.
func Names() []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return append(names, target.Names()...)
}

// UnknownFormatError names a format that is neither one of Write nor a target.
type UnknownFormatError struct{ Name string }

func (e *UnknownFormatError) Error() string {
	return fmt.Sprintf("unknown format %q: choose one of %s", e.Name, strings.Join(Names(), ", "))
}

// Check returns an *UnknownFormatError if there is no such format.
func Check(name string) error {
	if _, ok := target.Find(name); ok {
		return nil
	}
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

// Write writes the proposals in the named format, which is no target; see Target.
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
		if err := proposals[i].WriteJSON(w); err != nil {
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
