package status

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"cordon/collector"
	"cordon/internal/bus"
)

// shortExporters is how many exporters an answer lists at most where all of
// them are too many for a message.
const shortExporters = 500

// Answer gives the document as it goes to another process: short leaves out
// exporters, those with the fewest flows first.
func (d *Document) Answer(short bool) ([]byte, error) {
	if c := d.Collector; short && c != nil && len(c.Exporters) > shortExporters {
		few := *c
		few.Exporters = slices.Clone(c.Exporters)
		slices.SortStableFunc(few.Exporters, func(a, b collector.ExporterStatus) int { return cmp.Compare(b.Flows, a.Flows) })
		few.Exporters = few.Exporters[:shortExporters]
		reduced := *d
		reduced.Collector = &few
		d = &reduced
	}
	return json.Marshal(d)
}

// AddRoles asks the other processes of Cordon on this NATS how they are. Those
// that do not answer are left out.
func (d *Document) AddRoles(ctx context.Context, b *bus.Bus) error {
	answers, err := b.AskStatus(ctx)
	for _, a := range answers {
		other := new(Document)
		if err := json.Unmarshal(a, other); err != nil {
			return fmt.Errorf("an answer on %s: %w", bus.SubjectStatus, err)
		}
		if other.ID == d.ID {
			continue // this very process
		}
		d.Roles = append(d.Roles, other)
	}
	slices.SortStableFunc(d.Roles, func(a, b *Document) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID))
	})
	return err
}

// processes lists this process, if there is one, and the others.
func (d *Document) processes() []*Document { return append([]*Document{d}, d.Roles...) }

// where names another process behind a text.
func (d *Document) where(p *Document) string {
	if p == d {
		return ""
	}
	return fmt.Sprintf(" [%s on %s, process %d]", p.Role, p.Host, p.PID)
}
