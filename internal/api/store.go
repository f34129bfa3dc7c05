package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

func (a *API) status(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	d := a.deps.Status(ctx)
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", "application/json")
		enc := json.NewEncoder(h.BodyWriter())
		enc.SetIndent("", "  ")
		enc.Encode(d)
	}}, nil
}

// Exporter sums up what one exporter sent.
type Exporter struct {
	Exporter string    `json:"exporter"`
	Messages uint64    `json:"messages"`
	Records  uint64    `json:"records"`
	Bytes    uint64    `json:"bytes"`
	Lost     uint64    `json:"lostRecords"`
	Loss     float64   `json:"loss" doc:"Share of records that were lost, between 0 and 1"`
	Last     time.Time `json:"lastExport"`
}

type exportersOut struct {
	Body struct {
		Exporters []Exporter `json:"exporters"`
	}
}

func (a *API) exporters(ctx context.Context, _ *struct{}) (*exportersOut, error) {
	leave, err := a.turn(ctx)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer leave()
	rows, err := a.deps.Conn.Query(a.bounded(ctx, nil, nil), `SELECT toString(exporter), toUInt64(messages), toUInt64(records), toUInt64(bytes), toUInt64(lost_records), toFloat64(loss), toDateTime(last_export, 'UTC')
		FROM exporters_total ORDER BY records DESC, exporter LIMIT 1000`)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer rows.Close()
	out := &exportersOut{}
	out.Body.Exporters = []Exporter{}
	for rows.Next() {
		var e Exporter
		if err := rows.Scan(&e.Exporter, &e.Messages, &e.Records, &e.Bytes, &e.Lost, &e.Loss, &e.Last); err != nil {
			return nil, a.problem(ctx, err)
		}
		out.Body.Exporters = append(out.Body.Exporters, e)
	}
	if err := rows.Err(); err != nil {
		return nil, a.problem(ctx, err)
	}
	return out, nil
}

// Hour sums up an hour.
type Hour struct {
	Hour    time.Time `json:"hour"`
	Packets uint64    `json:"packets"`
	Bytes   uint64    `json:"bytes"`
}

type trafficOut struct {
	Body struct {
		Hours []Hour    `json:"hours" doc:"Hours without traffic are left out"`
		Now   time.Time `json:"now" doc:"The server's clock"`
	}
}

func (a *API) traffic(ctx context.Context, in *FilterIn) (*trafficOut, error) {
	f, err := a.deps.Filter(in.only("since", "until", "last", "tz", "vrf"), nil)
	if err != nil {
		return nil, wrongParameter(err, "query")
	}
	where, args := "1", []any{}
	if !f.Since.IsZero() {
		where, args = where+" AND hour >= toStartOfHour(?)", append(args, f.Since)
	}
	if !f.Until.IsZero() {
		where, args = where+" AND hour < ?", append(args, f.Until)
	}
	if f.VRF != "" {
		where, args = where+" AND vrf = ?", append(args, f.VRF)
	}
	leave, err := a.turn(ctx)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer leave()
	rows, err := a.deps.Conn.Query(a.bounded(ctx, nil, nil), "SELECT toDateTime(hour, 'UTC') AS h, toUInt64(sum(client_packets + server_packets)), toUInt64(sum(client_bytes + server_bytes)) FROM sessions_hourly WHERE "+where+" GROUP BY h ORDER BY h DESC LIMIT 1000", args...)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer rows.Close()
	out := &trafficOut{}
	out.Body.Now, out.Body.Hours = time.Now().UTC().Truncate(time.Second), []Hour{}
	for rows.Next() {
		var h Hour
		if err := rows.Scan(&h.Hour, &h.Packets, &h.Bytes); err != nil {
			return nil, a.problem(ctx, err)
		}
		out.Body.Hours = append(out.Body.Hours, h)
	}
	if err := rows.Err(); err != nil {
		return nil, a.problem(ctx, err)
	}
	return out, nil
}

// GroupOut is a group of the groups file.
type GroupOut struct {
	Category string   `json:"category"`
	Group    string   `json:"group"`
	Prefixes []string `json:"prefixes"`
}

type groupsOut struct {
	Body struct {
		Groups     []GroupOut `json:"groups"`
		Categories []string   `json:"categories"`
	}
}

func (a *API) groups(ctx context.Context, _ *struct{}) (*groupsOut, error) {
	file, err := a.deps.Groups(ctx)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	out := &groupsOut{}
	out.Body.Groups, out.Body.Categories = []GroupOut{}, []string{}
	if file == nil {
		return out, nil
	}
	out.Body.Categories = file.CategoryNames()
	for i := range file.Categories {
		for j := range file.Categories[i].Groups {
			g := &file.Categories[i].Groups[j]
			x := GroupOut{Category: file.Categories[i].Name, Group: g.Name}
			for _, p := range g.Prefixes {
				x.Prefixes = append(x.Prefixes, p.String())
			}
			out.Body.Groups = append(out.Body.Groups, x)
		}
	}
	return out, nil
}
