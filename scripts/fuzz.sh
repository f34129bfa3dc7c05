#!/usr/bin/env bash
# Runs every fuzz target of the module for the time given (default 60s), then the slow properties.
set -eu
cd "$(dirname "$0")/.."
grep -rlE '^func Fuzz[A-Za-z0-9_]*\(f \*testing\.F\)' --include='*_test.go' . | while read -r file; do
  grep -oE '^func Fuzz[A-Za-z0-9_]*' "$file" | sed 's/^func //' | while read -r target; do
    echo "== $(dirname "$file") $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-60s}" "$(dirname "$file")"
  done
done
# The properties that draw little in `make test`, since each draw takes dozens of queries.
echo "== ./recommender, properties"
go test ./recommender -timeout 60m -run 'AgainstReference|CoverageHolds|ListingOfDrawn|SuggestAgainst' -rapid.checks=50
