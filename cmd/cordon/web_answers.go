package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/api"
	"cordon/recommender"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
	"cordon/recommender/render"
	"cordon/recommender/simulate"
	"cordon/recommender/target"

	"github.com/spf13/pflag"
)

// This file gives the API what commands beside sessions and generate-rules answer, by their own functions.

// silent is the app without anybody who reads its messages: what a request asks is answered to the request.
func (n *node) silent() *app {
	a := *n.app
	a.stdout, a.stderr = io.Discard, io.Discard
	return &a
}

// pagesStore is the store as commands know it.
func (n *node) pagesStore() *store { return &store{Conn: n.pages, Reader: n.pages} }

// mistaken marks what is the mistake of whoever asks.
func mistaken(err error) error {
	var wrong *policy.SettingsError
	if code, ok := errors.AsType[*codeError](err); ok && code.code == exitUsage || errors.As(err, &wrong) {
		return &api.Mistake{Err: err}
	}
	return err
}

// storedID refuses what is not the id of a proposal: a file of the server is nothing that a request may name.
func storedID(flag, id string) error {
	if !idText.MatchString(id) {
		return usagef("--%s %q is not the id of a stored proposal", flag, id)
	}
	return nil
}

// learned says how far the sessions are known, as `cordon readiness` does with the groups file and the categories of the proposal
// that is asked for, else of the newest one, else with the groups that were used last.
func (n *node) learned(ctx context.Context, asked url.Values) ([]*simulate.Readiness, error) {
	var g generateFlags
	var atMost, proposal string
	f := pflag.NewFlagSet("readiness", pflag.ContinueOnError)
	g.readinessFlags(f, &atMost)
	f.StringVar(&proposal, "proposal", "", "")
	if err := setFlags(f, asked); err != nil {
		return nil, mistaken(usageError(err))
	}
	limit, err := parsePercent(atMost)
	if err != nil {
		return nil, mistaken(usagef("--at-most: %w", err))
	}
	g.effort, g.maxMemory = cover.EffortQuick.String(), "" // nothing is covered
	if _, err := g.complete(time.Now()); err != nil {
		return nil, mistaken(err)
	}
	file, err := n.groupsOf(ctx, proposal, &g)
	if err != nil {
		return nil, err
	}
	if g.settings.Existing, err = n.silent().inForce(ctx, n.pagesStore(), g.settings.VRF); err != nil {
		return nil, err
	}
	learned, err := recommender.Learn(ctx, n.pages, g.settings, file)
	if err != nil {
		return nil, mistaken(err)
	}
	out := []*simulate.Readiness{}
	for i := range learned {
		out = append(out, simulate.Assess(&learned[i], simulate.ReadinessOptions{AtMost: limit}))
	}
	return out, nil
}

// lastGroups is the groups file that generate-rules used last, nil for none, with its categories in the order of the newest proposal:
// the store does not keep that of the file.
func (n *node) lastGroups(ctx context.Context) (*categories.File, error) {
	file, err := storedGroups(ctx, n.pages)
	if file == nil || err != nil {
		return nil, err
	}
	list, err := recommender.List(ctx, n.pages, "", 1)
	if len(list) == 0 || err != nil {
		return file, err
	}
	place := func(c categories.Category) int {
		if i := slices.Index(list[0].Categories, c.Name); i >= 0 {
			return i
		}
		return len(list[0].Categories)
	}
	slices.SortStableFunc(file.Categories, func(a, b categories.Category) int { return place(a) - place(b) })
	return file, nil
}

// groupsOf gives the groups file of a proposal, and has its categories selected unless others are.
func (n *node) groupsOf(ctx context.Context, id string, g *generateFlags) (*categories.File, error) {
	if id == "" {
		list, err := recommender.List(ctx, n.pages, g.settings.VRF, 1)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			id = list[0].ID
		}
	}
	if id == "" {
		return n.lastGroups(ctx)
	}
	p, err := recommender.Get(ctx, n.pages, id)
	if err != nil {
		return nil, err
	}
	if len(g.settings.Categories) == 0 {
		g.settings.Categories = p.Categories
	}
	if p.GroupsFile != "" {
		return p.CarriedFile()
	}
	return n.lastGroups(ctx)
}

// simulation replays the sessions as `cordon simulate` does; files that were given stand for flags with their names. Close what it gives.
func (n *node) simulation(ctx context.Context, asked url.Values, files map[string]*api.Upload) (*simulate.Replay, error) {
	var s simulateFlags
	f := pflag.NewFlagSet("simulate", pflag.ContinueOnError)
	s.replayFlags(f)
	if err := setFlags(f, asked); err != nil {
		return nil, mistaken(usageError(err))
	}
	if err := s.check(); err != nil {
		return nil, mistaken(err)
	}
	set, err := s.settings()
	if err != nil {
		return nil, mistaken(err)
	}
	var texts []*policyText
	for _, named := range [][2]string{{"policy", s.policy}, {"against", s.against}} {
		if named[1] == "" {
			continue
		}
		if f := files[named[0]]; f != nil {
			file, err := parsePolicyFile(f.Name, f.Data)
			t, err := policyTextOf(f.Name, file, err)
			if err != nil {
				return nil, mistaken(usagef("--%s: %w", named[0], err))
			}
			texts = append(texts, t)
			continue
		}
		if err := storedID(named[0], named[1]); err != nil {
			return nil, mistaken(err)
		}
		if _, err := recommender.Get(ctx, n.pages, named[1]); err != nil {
			return nil, err
		}
		texts = append(texts, &policyText{name: named[1], id: named[1]})
	}
	a, st := n.silent(), n.pagesStore()
	if err := a.simulationGroups(ctx, st, &s, &set, texts); err != nil {
		return nil, mistaken(err)
	}
	r, err := a.replayPolicies(ctx, st, &s, &set, texts)
	return r, mistaken(err)
}

// suggested compares orders of categories as `cordon groups suggest` does: of a groups file that was given, else of the one that
// generate-rules used last.
func (n *node) suggested(ctx context.Context, asked url.Values, given *api.Upload) (*recommender.Suggestions, error) {
	var g suggestFlags
	f := pflag.NewFlagSet("suggest", pflag.ContinueOnError)
	g.compareFlags(f)
	if err := setFlags(f, asked); err != nil {
		return nil, mistaken(usageError(err))
	}
	learn, err := g.check()
	if err != nil {
		return nil, mistaken(err)
	}
	if _, err := g.complete(time.Now()); err != nil {
		return nil, mistaken(err)
	}
	var file *categories.File
	if given != nil {
		if file, err = givenGroups(given.Name, given.Data); err != nil {
			return nil, mistaken(err)
		}
	} else if file, err = n.lastGroups(ctx); err != nil {
		return nil, err
	}
	if g.settings.Existing, err = n.silent().inForce(ctx, n.pagesStore(), g.settings.VRF); err != nil {
		return nil, err
	}
	s, err := recommender.Suggest(ctx, n.pages, recommender.SuggestSettings{Settings: g.settings, Learn: learn, MaxOrders: g.maxOrders}, file)
	return s, mistaken(err)
}

// compared is how two stored proposals differ, as `cordon proposals diff` says.
func (n *node) compared(ctx context.Context, from, to string) (any, error) {
	var sides [2]*policy.Proposal
	for i, id := range []string{from, to} {
		p, err := recommender.Get(ctx, n.pages, id)
		if err != nil {
			return nil, err
		}
		if !p.Carries() {
			return nil, mistaken(usagef("proposal %s does not carry its groups, since an earlier version of Cordon made it: `cordon proposals diff` compares it by its literals", shortID(p.ID)))
		}
		sides[i] = p
	}
	d, err := differ(sides[0], sides[1])
	if err != nil {
		return nil, mistaken(err)
	}
	return d, nil
}

// named gives a rule of a stored proposal a name, as `cordon proposals rename` does, and publishes the proposal that has it.
func (n *node) named(ctx context.Context, id, rule, name string) (*policy.Proposal, error) {
	if err := policy.CheckRuleName(name); err != nil {
		return nil, &api.Mistake{Err: fmt.Errorf("--name: %w", err)}
	}
	if _, err := recommender.Get(ctx, n.pages, id); err != nil {
		return nil, err
	}
	p, err := n.silent().renamed(ctx, n.pagesStore(), id, rule, name)
	if err != nil {
		return nil, mistaken(err)
	}
	return p, n.app.keep(ctx, n.pages, n.bus, []policy.Proposal{*p}, nil)
}

// exported writes a stored proposal in a format, as `cordon proposals export` does. Several files come as one archive.
func (n *node) exported(ctx context.Context, id string, asked url.Values) (*api.Export, error) {
	var t targetFlags
	f := pflag.NewFlagSet("export", pflag.ContinueOnError)
	var format string
	f.StringVar(&format, "format", "yaml", "")
	t.flags(f)
	if err := setFlags(f, asked); err != nil {
		return nil, mistaken(usageError(err))
	}
	if err := render.Check(format); err != nil {
		return nil, &api.Mistake{Err: fmt.Errorf("--format: %w", err)}
	}
	opts, err := t.options(format, "archive")
	if err != nil {
		return nil, mistaken(err)
	}
	p, err := recommender.Get(ctx, n.pages, id)
	if err != nil {
		return nil, err
	}
	names, err := storedRuleNames(ctx, n.pagesStore(), nil)
	if err != nil {
		return nil, err
	}
	proposals := []policy.Proposal{*p}
	rename(proposals, names)
	var groups *categories.File
	if proposals[0].GroupsFile != "" {
		if groups, err = proposals[0].CarriedFile(); err != nil {
			return nil, mistaken(usageError(err))
		}
	}
	out := &api.Export{Name: "proposal-" + shortID(p.ID) + extension(format)}
	dst, ok := target.Find(format)
	if !ok {
		var buf bytes.Buffer
		err := render.Write(&buf, format, proposals, render.Options{Groups: groups})
		out.Data = buf.Bytes()
		return out, err
	}
	written, err := render.Target(dst, proposals, groups, opts)
	if err != nil {
		return nil, &api.Mistake{Err: err}
	}
	out.Notes = slices.Concat(written.Notes, written.Gaps)
	if !dst.Several {
		out.Data = written.Files[0].Data
		return out, nil
	}
	out.Name = strings.TrimSuffix(out.Name, extension(format)) + ".zip"
	out.Data, err = archive(written.Files)
	return out, err
}

// exportForms lists the formats of a proposal.
func exportForms() []api.Form {
	var out []api.Form
	for _, name := range render.Names() {
		form := api.Form{Name: name, File: strings.TrimPrefix(extension(name), ".")}
		if t, ok := target.Find(name); ok {
			form.About, form.Several = t.About, t.Several
		}
		out = append(out, form)
	}
	return out
}

// extension is what the name of an exported file ends with.
func extension(format string) string {
	switch format {
	case "table":
		return ".txt"
	case "yaml", "json", "csv":
		return "." + format
	case "kubernetes", "cilium", "calico":
		return "-" + format + ".yaml"
	}
	return "." + format + ".cfg"
}

// archive puts files into one.
func archive(files []target.File) ([]byte, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, f := range files {
		w, err := z.Create(f.Name)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return buf.Bytes(), err
}
