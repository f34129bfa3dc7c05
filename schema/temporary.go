package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cordon/internal/sqltext"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Temporary is a database in an engine of this process's own that one command fills from files, asks for sessions and throws
// away. It has the tables and views that sessions come from, and none that people's decisions, imports or memberships are
// kept in. Raw records go into sessions and are not stored.
//
// The views of sessions are made once the files are in: where no record needs the long way (two exporters that saw one session,
// sampling, a direction that is open), they are the short one alone, which takes a fifth of the time to plan.
type Temporary struct {
	cfg MigrateConfig
	// rest are the statements that make the views of sessions; nil where the migrations have made everything.
	rest []statement
}

// statement makes a table or view.
type statement struct{ name, text string }

// notTemporary are the tables and views that a temporary database is without, by the beginnings of their names.
var notTemporary = []string{"exporters_total", "group", "import", "membership", "proposal", "rule_name"}

// sessionsOnly are the views that Temporary makes where every session is in sessions_plain.
var sessionsOnly = []string{"sessions", "sessions_all", "sessions_by_hour", "sessions_by_hour_window", "sessions_plain", "sessions_plain_window", "sessions_window"}

// NewTemporary makes the database, which must not be there yet. cfg.Script must be given.
func NewTemporary(ctx context.Context, db *sql.DB, cfg MigrateConfig) (*Temporary, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	files, err := Rendered(cfg)
	if err != nil {
		return nil, err
	}
	versions, err := versionsOf(files)
	if err != nil {
		return nil, err
	}
	version, by, err := freshVersion()
	if err != nil {
		return nil, err
	}
	var engine string
	if err := db.QueryRowContext(ctx, "SELECT version()").Scan(&engine); err != nil {
		return nil, fmt.Errorf("version of ClickHouse: %w", err)
	}
	if by != engine || version != versions[len(versions)-1] {
		_, _, err := Migrate(ctx, db, cfg)
		return &Temporary{cfg: cfg}, err
	}
	t := &Temporary{cfg: cfg}
	var first []statement
	for _, s := range statements(freshText) {
		switch {
		case slices.ContainsFunc(notTemporary, func(name string) bool { return strings.HasPrefix(s.name, name) }):
		case s.name == TableFlows:
			first = append(first, statement{s.name, withoutStore(s.text)})
		case strings.HasPrefix(s.name, "session_") || strings.HasPrefix(s.name, "sessions") && s.name != tableSessions:
			t.rest = append(t.rest, s)
		default:
			first = append(first, s)
		}
	}
	// Definitions stay in memory: nobody opens the database again.
	if err := t.run(ctx, "CREATE DATABASE "+sqltext.Name(cfg.Database)+" ENGINE = Memory;\n", first); err != nil {
		return nil, fmt.Errorf("make the tables of database %s: %w", cfg.Database, err)
	}
	return t, nil
}

// Filled makes the views of sessions. No record comes after it.
func (t *Temporary) Filled(ctx context.Context, conn clickhouse.Conn) error {
	if t.rest == nil {
		return nil
	}
	views := t.rest
	plain, err := t.isPlain(ctx, conn)
	if err != nil {
		return fmt.Errorf("look for sessions of several exporters, sampled ones and open directions: %w", err)
	}
	if plain {
		if views, err = plainViews(views); err != nil {
			return err
		}
	}
	if err := t.run(ctx, "", views); err != nil {
		return fmt.Errorf("make the views of database %s: %w", t.cfg.Database, err)
	}
	t.rest = nil
	return nil
}

// isPlain says whether view sessions_marked has no session for certain: one exporter and side saw every record, and none is sampled,
// open in its direction or of TFTP, which changes its ports.
func (t *Temporary) isPlain(ctx context.Context, conn clickhouse.Conn) (plain bool, err error) {
	of := sqltext.Name(t.cfg.Database)
	err = conn.QueryRow(ctx, `SELECT countIf(NOT decided OR sampling > 1 OR proto = 17 AND port = 69 AND client_port != 0) = 0
			AND min((exporter, egress)) = max((exporter, egress)) AND (SELECT count() FROM `+of+`.sampled_exporters) = 0
		FROM `+of+`.`+tableSessions).Scan(&plain)
	return plain, err
}

// markedBranch is what a view adds to the sessions of sessions_plain.
var markedBranch = regexp.MustCompile(`\n +UNION ALL\n +SELECT \*\n +FROM [^\n]*sessions_marked[^\n]*`)

// plainViews gives the views of sessions for a database in which sessions_marked has none.
func plainViews(all []statement) (views []statement, err error) {
	for _, s := range all {
		if !slices.Contains(sessionsOnly, s.name) {
			continue
		}
		text, changed := s.text, true
		switch s.name {
		case "sessions_all", "sessions_window":
			text = markedBranch.ReplaceAllString(s.text, "")
			changed = text != s.text
		case "sessions_plain", "sessions_plain_window":
			text, _, changed = strings.Cut(s.text, "\nHAVING ") // It holds for every session.
		case "sessions_by_hour":
			text, changed = emptyView(s.text)
		case "sessions_by_hour_window":
			text = "CREATE VIEW IF NOT EXISTS {{database}}.sessions_by_hour_window AS SELECT * FROM {{database}}.sessions_by_hour WHERE {since:DateTime64(6, 'UTC')} < {until:DateTime64(6, 'UTC')}"
		}
		if !changed {
			return nil, fmt.Errorf("fresh.sql: view %s is not as Temporary expects it", s.name)
		}
		views = append(views, statement{s.name, text})
	}
	if len(views) != len(sessionsOnly) {
		return nil, errors.New("fresh.sql lacks views of sessions")
	}
	return views, nil
}

// emptyView gives a view with the columns of another and no rows.
func emptyView(text string) (string, bool) {
	head, rest, ok := strings.Cut(text, "\n(\n")
	columns, _, found := strings.Cut(rest, "\n)\nAS ")
	return head + "\nAS SELECT * FROM null(" + sqltext.Text(columns) + ")", ok && found
}

// withoutStore gives a table of the same columns that forgets what is put into it.
func withoutStore(text string) string {
	head, _, _ := strings.Cut(text, "\nENGINE = ")
	return head + "\nENGINE = Null"
}

// run makes tables and views in one request.
func (t *Temporary) run(ctx context.Context, before string, list []statement) error {
	var b strings.Builder
	for _, s := range list {
		b.WriteString(s.text)
		b.WriteString(";\n")
	}
	text, err := t.cfg.renderFresh(b.String())
	if err != nil {
		return err
	}
	return t.cfg.Script(ctx, before+text)
}

// statementName is the name of what a statement of freshText makes.
var statementName = regexp.MustCompile(`CREATE (?:TABLE|VIEW) IF NOT EXISTS \{\{database\}\}\.(\w+)`)

// statements splits freshText.
func statements(text string) (list []statement) {
	for _, s := range strings.Split(text, ";\n\n") {
		if m := statementName.FindStringSubmatchIndex(s); m != nil {
			list = append(list, statement{name: s[m[2]:m[3]], text: s[m[0]:]})
		}
	}
	return list
}
