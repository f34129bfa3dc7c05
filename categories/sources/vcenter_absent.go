//go:build no_vcenter

package sources

import (
	"fmt"

	"cordon/categories"
)

func newVCenterSource(s *categories.Source) (Source, error) {
	return nil, fmt.Errorf("source %q: this cordon was built without the kind vcenter (tag no_vcenter)", s.Name)
}
