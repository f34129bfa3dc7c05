package schema_test

import (
	"context"
	"testing"

	"cordon/schema"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestExporterNamesThereAndBack(t *testing.T) {
	name := rapid.Custom(func(t *rapid.T) schema.ExporterName {
		return schema.ExporterName{
			Time: rapid.Int64().Draw(t, "time"), Exporter: [16]byte{15: rapid.Byte().Draw(t, "exporter")}, Domain: rapid.Uint32().Draw(t, "domain"),
			Kind: rapid.SampledFrom([]string{schema.NameInterface, schema.NameVRF}).Draw(t, "kind"), ID: rapid.Uint32().Draw(t, "id"), Name: rapid.String().Draw(t, "name"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(name, 0, 20).Draw(t, "rows")
		payload, err := schema.SealExporterNames(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := open(payload, schema.OpenExporterNames)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" && len(want)+len(got) > 0 {
			t.Fatalf("rows (-want +got):\n%s", d)
		}
	})
}

func FuzzOpenExporterNames(f *testing.F) {
	payload, err := schema.SealExporterNames([]schema.ExporterName{{Kind: schema.NameVRF, ID: 7, Name: "red"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		rows, err := open(payload, schema.OpenExporterNames)
		if err == nil && len(rows) > schema.MaxRows {
			t.Fatalf("%d rows", len(rows))
		}
	})
}

// The newest name of a number stays, in whatever order the batches come.
func TestExporterNamesView(t *testing.T) {
	s := newStore(t)
	at := noon.UnixMilli()
	batches := [][]schema.ExporterName{
		{{Time: at + 5000, Exporter: ip("10.9.9.1"), Domain: 7, Kind: schema.NameInterface, ID: 3, Name: "Ethernet3 to the core"}},
		{
			{Time: at, Exporter: ip("10.9.9.1"), Domain: 7, Kind: schema.NameInterface, ID: 3, Name: "Ethernet3"},
			{Time: at, Exporter: ip("10.9.9.1"), Domain: 7, Kind: schema.NameVRF, ID: 3, Name: "red"},
			{Time: at, Exporter: ip("2001:db8::9"), Kind: schema.NameInterface, ID: 3, Name: "et-0/0/3"},
		},
	}
	for i, rows := range batches {
		payload, err := schema.SealExporterNames(rows)
		if err != nil {
			t.Fatal(err)
		}
		var in schema.Insert
		if err := in.Prepare(&schema.Sealed{ID: []string{"names-1", "names-2"}[i], Table: schema.TableExporterNames, Rows: len(rows), Payload: payload}); err != nil {
			t.Fatal(err)
		}
		if err := in.Run(context.Background(), s.conn, schema.InsertOptions{Database: s.name}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"10.9.9.1\t7\tinterface\t3\tEthernet3 to the core",
		"10.9.9.1\t7\tvrf\t3\tred",
		"2001:db8::9\t0\tinterface\t3\tet-0/0/3",
	}
	if d := cmp.Diff(want, s.rows("SELECT exporter, domain, kind, id, name FROM {db}.exporter_names ORDER BY ALL")); d != "" {
		t.Errorf("exporter_names (-want +got):\n%s", d)
	}
	// The table has the columns of the batch, in its order.
	if got := s.rows("SELECT groupArray(name) = " + sqlArray(schema.NameColumnNames) + " FROM (SELECT name FROM system.columns WHERE database = '{db}' AND table = 'exporter_name_rows' ORDER BY position)"); got[0] != "1" {
		t.Error("columns of exporter_name_rows differ from those of its batches")
	}
}
