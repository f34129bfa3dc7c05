package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/api"
	"cordon/internal/sessions"
	"cordon/internal/status"
	"cordon/internal/web"
	"cordon/recommender"
	"cordon/recommender/policy"

	"github.com/spf13/pflag"
)

// openPages gives the handler of the API and the pages; nil for roles without them.
func (n *node) openPages(ctx context.Context) (http.Handler, error) {
	if n.pages == nil {
		return nil, nil
	}
	a := n.app
	// Tables of views that are older than this process, on a folder that it owns, are those of one that was killed.
	// External servers may have other processes.
	leftovers := day
	if n.clickhouse != nil {
		leftovers = time.Since(n.started) + time.Second
	}
	n.api = api.New(api.Deps{
		Log: a.log.With("part", "api"), Version: buildVersion(), Conn: n.pages, Query: a.settings.SQL.clickhouse(), Views: a.settings.Views, Leftovers: leftovers,
		Groups: n.lastGroups,
		Status: func(ctx context.Context) any {
			d := n.status(ctx)
			return struct {
				*status.Document
				Findings []status.Finding `json:"findings"`
			}{d, append([]status.Finding{}, d.Diagnose()...)}
		},
		Filter: sessionFilter, Check: func(asked api.Asked) error { _, _, err := askedFlags(asked); return err }, Generate: n.generate,
		Readiness: n.learned, Simulate: n.simulation, Suggest: n.suggested, Diff: n.compared, Rename: n.named, Export: n.exported, Formats: exportForms(),
	})
	mux := http.NewServeMux()
	mux.Handle("/api/", n.api)
	mux.Handle("/openapi.json", n.api)
	mux.Handle("/openapi.yaml", n.api)
	mux.Handle("/", web.Handler())
	return mux, nil
}

// sessionFilter reads the flags of `cordon sessions` from the query of a request.
func sessionFilter(asked url.Values, file *categories.File) (sessions.Filter, error) {
	var s sessionsFlags
	f := pflag.NewFlagSet("sessions", pflag.ContinueOnError)
	s.filterFlags(f)
	if err := setFlags(f, asked); err != nil {
		return s.filter, err
	}
	err := s.complete(time.Now())
	if err == nil {
		s.filter.Ends, err = s.scope.ends(file)
	}
	return s.filter, err
}

// setFlags gives flags the values of a request.
func setFlags(f *pflag.FlagSet, asked url.Values) error {
	for name, values := range asked {
		for _, v := range values {
			if v == "" {
				continue
			}
			if err := f.Set(name, v); err != nil {
				return fmt.Errorf("--%s %q: %w", name, v, errors.Unwrap(err))
			}
		}
	}
	return nil
}

// askedFlags reads the flags of `cordon generate-rules` that a request gives, and its groups file, nil for none.
func askedFlags(asked api.Asked) (*generateFlags, *categories.File, error) {
	var g generateFlags
	f := pflag.NewFlagSet("generate-rules", pflag.ContinueOnError)
	g.proposalFlags(f)
	if err := setFlags(f, asked.Flags); err != nil {
		return nil, nil, err
	}
	for i, id := range g.existing {
		if !idText.MatchString(id) { // a file of the server is nothing that a request may name
			return nil, nil, usagef("--existing %q is not the id of a stored proposal", id)
		}
		g.existing[i] = "sha256:" + strings.TrimPrefix(id, "sha256:")
	}
	if _, err := g.complete(time.Now()); err != nil {
		return nil, nil, err
	}
	if asked.Groups == "" {
		return &g, nil, nil
	}
	file, err := givenGroups("groups", []byte(asked.Groups))
	return &g, file, err
}

// givenGroups reads a groups file that a request brings. Its sources would name files and commands of the server, so it has none.
func givenGroups(name string, data []byte) (*categories.File, error) {
	file, err := categories.Parse(name, data)
	if err != nil {
		return nil, usageError(fmt.Errorf("--groups: %w", err))
	}
	if len(file.Sources) > 0 {
		return nil, usagef("--groups: sources are read on the command line only; `cordon groups export` writes their groups into a file")
	}
	return file, nil
}

// generate makes proposals as `cordon generate-rules` does.
func (n *node) generate(ctx context.Context, asked api.Asked, observe func(recommender.Step), progress func(recommender.Progress)) ([]policy.Proposal, error) {
	g, file, err := askedFlags(asked)
	if err != nil {
		return nil, err
	}
	if file == nil {
		if file, err = n.lastGroups(ctx); err != nil {
			return nil, err
		}
	}
	if g.settings.Existing, err = n.app.storedPolicies(ctx, &store{Conn: n.pages}, g.inForce); err != nil {
		return nil, err
	}
	if len(g.existing) == 0 {
		if g.settings.Existing, err = n.silent().inForce(ctx, n.pagesStore(), g.settings.VRF); err != nil {
			return nil, err
		}
	}
	if g.settings.RuleNames, err = storedRuleNames(ctx, n.pagesStore(), nil); err != nil {
		return nil, err
	}
	g.settings.Observe, g.settings.Progress = observe, progress
	proposals, err := recommender.Generate(ctx, n.pages, g.settings, file)
	if err != nil {
		return nil, err
	}
	if len(proposals) == 0 {
		return nil, errors.New(nothingToPropose(g))
	}
	return proposals, n.app.keep(ctx, n.pages, n.bus, proposals, file)
}
