package schema_test

import (
	"errors"
	"sync"
	"testing"

	"cordon/schema"
)

func TestMigrateTwiceChangesNothing(t *testing.T) {
	s := openEngine(t)
	cfg := schema.MigrateConfig{Database: s.name}
	from, to, err := schema.Migrate(t.Context(), s.db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if from != 0 || to < 4 {
		t.Fatalf("first run: from %d to %d", from, to)
	}
	again, same, err := schema.Migrate(t.Context(), s.db, cfg)
	if err != nil || again != to || same != to {
		t.Fatalf("second run: from %d to %d, %v; want %d", again, same, err, to)
	}
}

func TestMigratorsAtTheSameTime(t *testing.T) {
	s := openEngine(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, _, err := schema.Migrate(t.Context(), s.db, schema.MigrateConfig{Database: s.name}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestMigrateRefusesNewerSchema(t *testing.T) {
	s := newStore(t)
	s.exec("INSERT INTO " + s.name + ".schema_migrations (version) SELECT 9999")
	_, _, err := schema.Migrate(t.Context(), s.db, schema.MigrateConfig{Database: s.name})
	if !errors.Is(err, schema.ErrNewerSchema) {
		t.Fatalf("got %v, want ErrNewerSchema", err)
	}
}
