//lint:file-ignore SA1019 The boards are in the classic form, which people import and provisioning reads.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// register tells the SDK the kinds of panels and queries that the boards have. Others do not decode.
func register() {
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(table.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	runtime.RegisterDataqueryVariant(sqlVariant())
}

// The files are those that the command writes, and they decode without an unknown or missing field.
func TestFiles(t *testing.T) {
	register()
	kept, err := filepath.Glob(filepath.Join("..", "..", folder, "*"))
	if err != nil || len(kept) != len(all) {
		t.Errorf("%d files in %s, and %d boards (%v)", len(kept), folder, len(all), err)
	}
	uids := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		data, err := os.ReadFile(filepath.Join("..", "..", folder, name))
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := text(all[name]())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, fresh) {
			t.Errorf("%s is not what the generator writes; make boards writes it", name)
		}
		if err := strict(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var d dashboard.Dashboard
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if other, ok := uids[*d.Uid]; ok {
			t.Errorf("%s and %s have uid %s", name, other, *d.Uid)
		}
		uids[*d.Uid] = name
		for _, problem := range layout(&d) {
			t.Errorf("%s: %s", name, problem)
		}
	}
}

// A misspelt field does not decode, so the test above sees one.
func TestStrict(t *testing.T) {
	register()
	good, err := text(sessions())
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{`"rawSql"`, `"rawSQL_"`}, {`"gridPos"`, `"gridpos_"`}, {`"showHeader"`, `"showheader_"`}, {`"templating"`, `"variables"`}} {
		bad := strings.Replace(string(good), change[0], change[1], 1)
		if bad == string(good) {
			t.Errorf("no %s", change[0])
		}
		if err := strict([]byte(bad)); err == nil {
			t.Errorf("%s in place of %s decodes", change[1], change[0])
		}
	}
}

// strict decodes a board strictly. The SDK gives a list of no errors for each row that is well.
func strict(data []byte) error {
	var d dashboard.Dashboard
	err := d.UnmarshalJSONStrict(data)
	var list cog.BuildErrors
	if errors.As(err, &list) && len(list) == 0 {
		return nil
	}
	return err
}

// layout finds panels without words, ids that two have, and panels that lie upon one another.
func layout(d *dashboard.Dashboard) (problems []string) {
	ids := map[uint32]bool{}
	taken := map[[2]uint32]string{}
	place := func(title string, id uint32, p *dashboard.GridPos) {
		if ids[id] {
			problems = append(problems, fmt.Sprintf("two panels have id %d", id))
		}
		ids[id] = true
		if p.X+p.W > 24 {
			problems = append(problems, title+" reaches beyond the board")
		}
		for x := p.X; x < p.X+p.W; x++ {
			for y := p.Y; y < p.Y+p.H; y++ {
				if other, ok := taken[[2]uint32{x, y}]; ok && other != title {
					problems = append(problems, title+" lies on "+other)
				}
				taken[[2]uint32{x, y}] = title
			}
		}
	}
	for _, p := range d.Panels {
		if p.RowPanel != nil {
			place(*p.RowPanel.Title, p.RowPanel.Id, p.RowPanel.GridPos)
			continue
		}
		if p.Panel.Title == nil || p.Panel.Description == nil || *p.Panel.Title == "" || *p.Panel.Description == "" || len(p.Panel.Targets) == 0 {
			problems = append(problems, fmt.Sprintf("panel %d has no title, no description or no query", *p.Panel.Id))
			continue
		}
		place(*p.Panel.Title, *p.Panel.Id, p.Panel.GridPos)
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}

// sqlVariant says how the SDK decodes such a query, and refuses what it does not have.
func sqlVariant() variants.DataqueryConfig {
	decode := func(raw []byte) (variants.Dataquery, error) {
		var q sqlQuery
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		err := d.Decode(&q)
		return q, err
	}
	return variants.DataqueryConfig{Identifier: clickhousePlugin, DataqueryUnmarshaler: decode, StrictDataqueryUnmarshaler: decode}
}
